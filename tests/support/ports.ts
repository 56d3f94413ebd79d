/**
 * Ports for the servers of tests, below the range that outgoing connections take: while a server is down, a
 * reconnecting client must not be given its port. Files that run side by side have ranges of their own for the same
 * reason: a server that is down for a moment must find its port free.
 */
import { createServer } from 'node:net';

/** A number from 0 that no two files share while they run. */
const SLOT = (Number(process.env['VITEST_POOL_ID'] ?? 1) - 1) % 4;
const SERVER_PORTS = { first: 15_000 + SLOT * 1500, count: 1500 };
/** Members of a Redis cluster, whose buses lie between 21,000 and 25,000. */
const CLUSTER_PORTS = { first: 11_000 + SLOT * 1000, count: 1000 };
const CLUSTER_BUS_OFFSET = 10_000;
const ATTEMPTS = 200;
const given = new Set<number>();

export function freePort(): Promise<number> {
  return choosePort(SERVER_PORTS, isFree);
}

/** A port whose bus port is free as well. */
export function freeClusterPort(): Promise<number> {
  return choosePort(
    CLUSTER_PORTS,
    async (port) => (await isFree(port)) && (await isFree(port + CLUSTER_BUS_OFFSET)),
  );
}

async function choosePort(
  { first, count }: { first: number; count: number },
  fits: (port: number) => Promise<boolean>,
): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const port = first + Math.floor(Math.random() * count);
    if (given.has(port) || !(await fits(port))) continue;
    given.add(port);
    return port;
  }
  throw new Error('no free port was found');
}

async function isFree(port: number): Promise<boolean> {
  const probe = createServer();
  const hasListened = await new Promise<boolean>((resolve) => {
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => resolve(true));
  });
  if (hasListened) await new Promise((resolve) => probe.close(resolve));
  return hasListened;
}
