/** The client library, configured so that it only speaks RESP, TLS and pub/sub: no queue, no retry, no timer. */
import { readFileSync } from 'node:fs';
import { RedisClient } from '@redis/client';
import type { AccessSettings } from './access-settings.ts';
import type { ServerAddress } from './server-address.ts';

export type Client = ReturnType<typeof createClient>;

/** Made once: the library's `createClient` builds a class with all commands each time, which takes tens of milliseconds. */
const newClient = RedisClient.factory({});

export function createClient({ host, port }: ServerAddress, settings: AccessSettings) {
  const { tls } = settings;
  const socket = {
    host,
    port,
    connectTimeout: settings.connectTimeoutMs,
    reconnectStrategy: false as const,
  };
  return newClient({
    socket:
      tls === undefined
        ? socket
        : {
            ...socket,
            tls: true as const,
            rejectUnauthorized: tls.verify,
            ...(tls.ca === undefined ? {} : { ca: readFileSync(tls.ca) }),
            ...(tls.cert === undefined ? {} : { cert: readFileSync(tls.cert) }),
            ...(tls.key === undefined ? {} : { key: readFileSync(tls.key) }),
          },
    ...(settings.username === undefined ? {} : { username: settings.username }),
    ...(settings.password === undefined ? {} : { password: settings.password }),
    database: settings.database,
    name: settings.clientName,
    disableOfflineQueue: true,
    disableClientInfo: true,
    maintNotifications: 'disabled',
    // RedisConnection enforces the timeout: a timer for each call would cost more than the call.
    commandOptions: { timeout: 0 },
  });
}

export function destroyClient(client: Client): void {
  // The library throws when the client is closed already.
  if (client.isOpen) client.destroy();
}
