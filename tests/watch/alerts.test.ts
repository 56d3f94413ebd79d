/** Prometheus scrapes the service, something goes wrong, and exactly the alerts that describe it fire. */
import { afterEach, expect, it } from 'vitest';
import { TestPublisher } from '../support/messages/publisher.ts';
import { PrometheusServer } from '../support/monitoring/prometheus-server.ts';
import { RedisServer } from '../support/redis/redis-server.ts';
import { standaloneEnv } from '../support/redis/service-env.ts';
import { TestServer } from '../support/service/server.ts';
import { StreamClient } from '../support/streams/stream-client.ts';
import { waitFor } from '../support/wait.ts';

const STREAMS = 20;
/** More than the kernel buffers for a peer that does not read. */
const FLOOD_MESSAGES = 120;
const FLOOD_BYTES = 60_000;

let redis: RedisServer | undefined;
let server: TestServer;
let prometheus: PrometheusServer;
let publisher: TestPublisher;
let clients: StreamClient[] = [];

afterEach(async () => {
  for (const client of clients) client.close();
  clients = [];
  publisher.close();
  await prometheus.dispose();
  await server.dispose();
  await redis?.dispose();
  redis = undefined;
});

async function start(env: Readonly<Record<string, string>> = {}): Promise<void> {
  server = await TestServer.start({ env });
  publisher = new TestPublisher(server.url);
  prometheus = await PrometheusServer.start([`127.0.0.1:${server.metricsPort}`]);
}

async function openStreams(): Promise<void> {
  clients = Array.from(
    { length: STREAMS },
    () => new StreamClient({ port: server.port, path: '/sse/stream?channels=c', maxRetryMs: 50 }),
  );
  await Promise.all(clients.map((client) => client.opened()));
}

async function publish(count: number, bytes = 10): Promise<void> {
  const body = { type: 'info', service: 'test', target: { channel: 'c' }, data: { text: 'x'.repeat(bytes) } };
  for (let sent = 0; sent < count; sent += 10) {
    await publisher.batchUntilAcknowledged(Array.from({ length: Math.min(10, count - sent) }, () => body));
  }
}

async function isQuiet(): Promise<void> {
  await waitFor('no alert', async () => (await prometheus.firing()).length === 0, { timeoutMs: 40_000 });
}

it('Redis is stopped: it is away, publishes are refused, and both are over when it is back', async () => {
  redis = await RedisServer.start();
  await start(standaloneEnv(redis));
  await openStreams();
  await publish(10);
  await isQuiet();
  await redis.stop();
  const { labels, annotations } = await prometheus.fires('MessagePushRedisAway');
  expect(labels).toMatchObject({ severity: 'critical', instance: `127.0.0.1:${server.metricsPort}` });
  expect(annotations['summary']).toBe(
    `127.0.0.1:${server.metricsPort} cannot reach Redis: nothing can be published`,
  );
  await waitFor('a publish to be refused', async () => {
    const { status, text } = await publisher.send({
      type: 'info',
      service: 'test',
      target: { channel: 'c' },
      data: {},
    });
    return status === 503 && text.includes('engine_unavailable');
  });
  await prometheus.fires('MessagePushEngineUnavailable');
  const expected = ['MessagePushEngineUnavailable', 'MessagePushRedisAway'];
  expect((await prometheus.firing()).filter((name) => !expected.includes(name))).toEqual([]);
  await redis.restart();
  await publish(10);
  await isQuiet();
});

it('streams fall behind: they are behind, slow sessions rise, and it is over when they read again', async () => {
  await start();
  await openStreams();
  await isQuiet();
  for (const client of clients) client.stopReading();
  await publish(FLOOD_MESSAGES, FLOOD_BYTES);
  await prometheus.fires('MessagePushSlowSessionsRise');
  const { annotations } = await prometheus.fires('MessagePushStreamsBehind');
  expect(annotations['summary']).toMatch(/^\d+(\.\d+)?% of the streams of 127\.0\.0\.1:\d+ are behind$/);
  expect(await prometheus.firing()).not.toContain('MessagePushGapsTrimmed');
  for (const client of clients) client.readAtFullSpeed();
  await waitFor('all messages', () =>
    clients.every((c) => c.events.filter((e) => e.type === 'info').length === FLOOD_MESSAGES),
  );
  await isQuiet();
});

it('history is trimmed before it is read: the gaps are counted and told', async () => {
  await start({ MESSAGE_QUEUE_SIZE: '10' });
  await openStreams();
  await publish(10);
  await waitFor('the messages', () => clients.every((c) => c.events.some((e) => e.type === 'info')));
  for (const client of clients) client.holdOff();
  await publish(50);
  await isQuiet();
  for (const client of clients) client.comeBack();
  await waitFor('the gaps', () => clients.every((c) => c.events.some((e) => e.type === 'gap')));
  const { annotations } = await prometheus.fires('MessagePushGapsTrimmed');
  expect(annotations['description']).toMatch(
    /^\d+(\.\d+)? gaps in 15 minutes: streams reconnected or fell behind/,
  );
  expect(await prometheus.firing()).toEqual(['MessagePushGapsTrimmed']);
});

it('the service is killed: it is down until it is started again', async () => {
  await start();
  await isQuiet();
  await server.kill();
  const { labels } = await prometheus.fires('MessagePushDown');
  expect(labels['severity']).toBe('critical');
  await server.start();
  await isQuiet();
});
