/** Listening on the port of the service, alone or with other processes. */
import { createServer, type Server } from 'node:net';
import type { PortSharing, ProcessPlace } from './process-place.ts';

export interface ListenAddress {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly backlog: number;
}

/**
 * Listens as the place of the process wants it. In a process of node:cluster a plain `listen` asks the primary
 * process for its socket, so only `own_sockets` needs to be said. Rejects with an Error for the operator.
 */
export function listen(
  server: Server,
  address: ListenAddress,
  place: ProcessPlace = { kind: 'alone' },
): Promise<void> {
  const reusePort = place.kind === 'worker' && place.sharing === 'own_sockets';
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      const reason = error.code === 'EADDRINUSE' ? 'the port is taken by another process' : error.message;
      const { host, port } = address;
      const message = `cannot listen on SERVICE_HOST=${host} SERVICE_PORT=${port}: ${reason}`;
      reject(new Error(message, { cause: error }));
    };
    server.once('error', onError);
    server.listen({ ...address, reusePort }, () => {
      server.removeListener('error', onError);
      resolve();
    });
  });
}

export interface TriedPort {
  readonly port: number;
  readonly sharing: PortSharing;
}

/**
 * Finds out, before there are workers, that the port is free, which one it is, and how it can be shared here. The
 * first must be tried without `reusePort`: with it a second service would take its share of the first one's
 * connections instead of being refused. Rejects with an Error for the operator.
 */
export async function tryPort(address: ListenAddress): Promise<TriedPort> {
  const port = await listenOnce(address, { kind: 'alone' });
  try {
    await listenOnce({ ...address, port }, { kind: 'worker', index: 0, sharing: 'own_sockets' });
    return { port, sharing: 'own_sockets' };
  } catch (error) {
    // Not on this system. Whatever else it is, workers find it again and have the words for it.
    void error;
    return { port, sharing: 'primary_socket' };
  }
}

async function listenOnce(address: ListenAddress, place: ProcessPlace): Promise<number> {
  const server = createServer();
  await listen(server, address, place);
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
