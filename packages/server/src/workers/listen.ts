/** Listens on the port of the service, alone or together with other processes. */
import { createServer, type Server } from 'node:net';
import type { PortSharing, ProcessPlace } from './process-place.ts';

export interface ListenAddress {
  readonly host: string;
  /** 0 stands for any free port. */
  readonly port: number;
  readonly backlog: number;
}

/**
 * Listens in the way that the place of the process requires. In a process of node:cluster, a plain `listen` asks the
 * primary process for its socket, so only `own_sockets` needs an option. Rejects with an Error for the operator.
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
 * Finds out, before there are workers, whether the port is free, its number, and how it can be shared here. The first
 * attempt is made without `reusePort`: with it, a second service would take a share of the first one's connections
 * instead of being refused. Rejects with an Error for the operator.
 */
export async function tryPort(address: ListenAddress): Promise<TriedPort> {
  const port = await listenOnce(address, { kind: 'alone' });
  try {
    await listenOnce({ ...address, port }, { kind: 'worker', index: 0, sharing: 'own_sockets' });
    return { port, sharing: 'own_sockets' };
  } catch (error) {
    // This system cannot share a port between sockets. Workers will meet, and report, any other error again.
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
