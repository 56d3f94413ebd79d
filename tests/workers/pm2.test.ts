/** PM2 in cluster mode: each instance is a node, PM2 owns the port, and a reload loses nothing. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { requestJson } from '../support/http/http.ts';
import { readHistory } from '../support/messages/history.ts';
import { TestPublisher } from '../support/messages/publisher.ts';
import { Scrape } from '../support/monitoring/metrics.ts';
import { freePort } from '../support/ports.ts';
import { FLEET_ENV } from '../support/redis/fleet.ts';
import { RedisServer } from '../support/redis/redis-server.ts';
import { standaloneEnv } from '../support/redis/service-env.ts';
import { Pm2 } from '../support/service/pm2.ts';
import { StreamClient } from '../support/streams/stream-client.ts';
import { waitFor } from '../support/wait.ts';

const NAME = 'message-push-service';
const INSTANCES = 2;
const STREAMS = 40;
const BATCH = 5;

let redis: RedisServer;
let pm2: Pm2;
let port: number;
let metricsPort: number;
const clients: StreamClient[] = [];

beforeEach(async () => {
  redis = await RedisServer.start();
  pm2 = new Pm2();
  port = await freePort();
  metricsPort = await freePairOfPorts();
  const env = {
    ...FLEET_ENV,
    ...standaloneEnv(redis),
    SERVICE_PORT: String(port),
    METRICS_PORT: String(metricsPort),
    LOG_LEVEL: 'INFO',
    DRAIN_TIMEOUT: '5',
  };
  await pm2.start({ name: NAME, instances: INSTANCES, env });
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await pm2.dispose();
  await redis.dispose();
});

async function freePairOfPorts(): Promise<number> {
  return waitFor('two free ports in a row', async () => {
    const first = await freePort();
    return (await isFree(first + 1)) && first;
  });
}

async function isFree(candidate: number): Promise<boolean> {
  const probe = createServer().listen(candidate, '127.0.0.1');
  try {
    await once(probe, 'listening');
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return false;
    throw error;
  } finally {
    probe.close();
  }
}

it('instances share the streams, and a reload drains them one after the other and loses nothing', async () => {
  const url = `http://127.0.0.1:${port}`;
  const pids = new Map<number, number>();
  await waitFor('an answer of each instance', async () => {
    const { json } = await requestJson<{ worker: { index: number; pid: number } }>(`${url}/sse/health`, {
      headers: { connection: 'close' },
    });
    pids.set(json.worker.index, json.worker.pid);
    return pids.size === INSTANCES;
  });
  expect(new Set(pids.keys())).toEqual(new Set([0, 1]));
  const streams = Array.from(
    { length: STREAMS },
    () => new StreamClient({ port, path: '/sse/stream?channels=c', maxRetryMs: 100 }),
  );
  clients.push(...streams);
  await Promise.all(streams.map((s) => s.opened()));
  const scrapes = await Promise.all([metricsPort, metricsPort + 1].map((p) => Scrape.of(p)));
  const connections = scrapes.map((scrape) => scrape.sum('message_push_connections') ?? 0);
  expect(connections).not.toContain(0);
  expect(connections.reduce((total, n) => total + n)).toBe(STREAMS);

  let sent = 0;
  let isOver = false;
  const publish = async (publisher: TestPublisher): Promise<void> => {
    while (!isOver) {
      const bodies = Array.from({ length: BATCH }, () => {
        const n = sent++;
        return { id: `p${n}`, type: 'info', service: 'test', target: { channel: 'c' }, data: { n } };
      });
      await publisher.batchUntilAcknowledged(bodies);
    }
  };
  const publishers = Array.from({ length: 4 }, () => new TestPublisher(url));
  const publishing = publishers.map((publisher) => publish(publisher));
  await pm2.reload(NAME);
  isOver = true;
  await Promise.all(publishing);
  for (const publisher of publishers) publisher.close();

  const { entries } = await readHistory(url, 'channel:c');
  const stored = entries.map((e) => e.message.data['n'] as number);
  expect(stored.toSorted((a, b) => a - b)).toEqual(Array.from({ length: sent }, (_, n) => n));
  const shown = (stream: StreamClient): number[] =>
    stream.events.filter((e) => e.type === 'info').map((e) => JSON.parse(e.data).data.n as number);
  await waitFor('all messages on all streams', () => streams.every((s) => shown(s).length >= sent));
  for (const stream of streams) expect(shown(stream)).toEqual(stored);
  expect(streams.filter((s) => s.isFailed || s.events.some((e) => e.type === 'gap'))).toEqual([]);
  expect(streams.filter((s) => s.opens > 1).length).toBe(STREAMS);
  const retries = publishers.reduce((total, p) => total + p.retries, 0);
  console.log(`pm2 reload: ${sent} messages on ${STREAMS} streams, ${retries} batches sent again`);

  const successors = await pm2.processes();
  expect(successors.map((p) => p.pm2_env.status)).toEqual(['online', 'online']);
  expect(successors.filter((p) => [...pids.values()].includes(p.pid))).toEqual([]);
  // New instances take over the metrics ports once the old ones have released them.
  await waitFor('metrics of the successors', async () => {
    const now = await Promise.all([metricsPort, metricsPort + 1].map((p) => Scrape.of(p)));
    return (
      now.reduce((total, scrape) => total + (scrape.sum('message_push_connections') ?? 0), 0) === STREAMS
    );
  });
  await pm2.stop(NAME);
  expect(pm2.daemonLog().match(/exited with code \[(?!0\])/g)).toBeNull();
  // Log lines go where `pm2 logs` finds them.
  expect(pm2.logs().match(/"worker":[01].*"message":"ready: /g)?.length).toBe(2 * INSTANCES);
  expect(pm2.logs().match(/"worker":[01].*"message":"stopped"/g)?.length).toBe(2 * INSTANCES);
});
