import { createServer, type Server } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { listen, tryPort } from './listen.ts';

const servers: Server[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((s) => new Promise((resolve) => s.close(resolve))));
});
function newServer(): Server {
  const server = createServer();
  servers.push(server);
  return server;
}
const address = { host: '127.0.0.1', port: 0, backlog: 10 };
const worker = { kind: 'worker', index: 1, sharing: 'own_sockets' } as const;

describe('listening', () => {
  it('is refused with the words of the configuration when the port is taken', async () => {
    const first = newServer();
    await listen(first, address);
    const { port } = first.address() as { port: number };
    const words = `cannot listen on SERVICE_HOST=127.0.0.1 SERVICE_PORT=${port}: the port is taken`;
    await expect(listen(newServer(), { ...address, port })).rejects.toThrow(words);
    await expect(tryPort({ ...address, port })).rejects.toThrow(words);
    expect(first.listenerCount('error')).toBe(0);
  });

  it.runIf(process.platform === 'linux')(
    'takes a share of a port as a worker with its own socket',
    async () => {
      const { port, sharing } = await tryPort(address);
      expect(sharing).toBe('own_sockets');
      await listen(newServer(), { ...address, port }, worker);
      await listen(newServer(), { ...address, port }, worker);
      // A second service is refused.
      await expect(tryPort({ ...address, port })).rejects.toThrow('the port is taken');
    },
  );
});
