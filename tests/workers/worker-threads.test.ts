/** `WORKER_THREADS`: processes that share a port, each a separate node on one Redis. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { requestJson } from '../support/http/http.ts';
import { readHistory } from '../support/messages/history.ts';
import { type MessageBody, TestPublisher } from '../support/messages/publisher.ts';
import { Scrape } from '../support/monitoring/metrics.ts';
import { FLEET_ENV, runFleet } from '../support/redis/fleet.ts';
import { NOTHING_LOST } from '../support/redis/fleet-judge.ts';
import { RedisServer } from '../support/redis/redis-server.ts';
import { standaloneEnv } from '../support/redis/service-env.ts';
import { TestServer } from '../support/service/server.ts';
import { StreamClient } from '../support/streams/stream-client.ts';
import { waitFor } from '../support/wait.ts';

let redis: RedisServer;
let server: TestServer;
const clients: StreamClient[] = [];
const publishers: TestPublisher[] = [];
beforeEach(async () => {
  redis = await RedisServer.start();
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const publisher of publishers.splice(0)) publisher.close();
  await server.dispose();
  await redis.dispose();
});

async function startWorkers(count: number, env: Readonly<Record<string, string>> = {}): Promise<TestServer> {
  const started = await TestServer.start({
    env: { ...standaloneEnv(redis), WORKER_THREADS: String(count), ...env },
  });
  await allServe(started, count);
  return started;
}

/** Waits until `count` workers serve. The metrics port belongs to the first one that serves and covers all of them. */
async function allServe({ metricsPort }: TestServer, count: number, timeoutMs = 15_000): Promise<void> {
  await waitFor(
    'all workers',
    async () => (await Scrape.of(metricsPort)).sum('message_push_worker_up') === count,
    { timeoutMs, pollMs: 50 },
  );
}

/** Opens streams; the kernel or the primary process chooses the worker of each. */
function openStreams(count: number): StreamClient[] {
  const opened = Array.from(
    { length: count },
    () => new StreamClient({ port: server.port, path: '/sse/stream?channels=c', maxRetryMs: 50 }),
  );
  clients.push(...opened);
  return opened;
}

/** Makes publishers, each with its own connection. */
function newPublishers(count: number): TestPublisher[] {
  const made = Array.from({ length: count }, () => new TestPublisher(server.url));
  publishers.push(...made);
  return made;
}

function message(n: number): MessageBody {
  return { id: `w${n}`, type: 'info', service: 'test', target: { channel: 'c' }, data: { n } };
}

function shown(stream: StreamClient): number[] {
  return stream.events.filter((e) => e.type === 'info').map((e) => JSON.parse(e.data).data.n as number);
}

function workerPids(): number[] {
  const children = readFileSync(`/proc/${server.pid}/task/${server.pid}/children`, 'utf8');
  return children.trim().split(' ').filter(Boolean).map(Number);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

const WORKERS = ['1', '2'];
const STREAMS = 40;
const PUBLISHERS = 40;

async function expectBothToServe(): Promise<void> {
  const streams = openStreams(STREAMS);
  await Promise.all(streams.map((s) => s.opened()));
  const answers = await Promise.all(newPublishers(PUBLISHERS).map((p, n) => p.send(message(n))));
  expect(answers.map((a) => a.status)).toEqual(answers.map(() => 200));
  await waitFor('all messages on all streams', () => streams.every((s) => shown(s).length === PUBLISHERS));
  const { entries } = await readHistory(server.url, 'channel:c');
  const inOrder = entries.map((e) => e.message.data['n']);
  for (const stream of streams) expect(shown(stream)).toEqual(inOrder);
  const scrape = await Scrape.of(server.metricsPort);
  const spread = (name: string, labels = {}) =>
    WORKERS.map((worker) => scrape.sum(name, { worker, ...labels }));
  const connections = spread('message_push_connections');
  const stored = spread('message_push_publications_total', { result: 'stored' });
  console.log(`${STREAMS} streams on workers: ${connections.join(', ')}; publishes: ${stored.join(', ')}`);
  expect(connections.reduce((total = 0, n = 0) => total + n)).toBe(STREAMS);
  expect(stored.reduce((total = 0, n = 0) => total + n)).toBe(PUBLISHERS);
  // The chance that all 40 are on the same one of two workers is 1 in 2^39.
  expect([...connections, ...stored]).not.toContain(0);
}

describe('workers', () => {
  it('share the streams and publishes of a port, and what one takes all deliver, in one order', async () => {
    server = await startWorkers(2, { LOG_LEVEL: 'INFO' });
    await expectBothToServe();
    expect(server.output).toContain('"sharing":"own_sockets"');
  });

  it('do so where a port cannot be shared between sockets', async () => {
    server = await startWorkers(2, {
      LOG_LEVEL: 'INFO',
      NODE_OPTIONS: `--import=${new URL('../support/service/without-reuse-port.ts', import.meta.url)}`,
    });
    await expectBothToServe();
    expect(server.output).toContain('"sharing":"primary_socket"');
  });

  it('say who they are, in health and on each line of one log', async () => {
    const logFile = 'logs/service.log';
    server = await startWorkers(2, { LOG_LEVEL: 'INFO' });
    await server.stop();
    await server.start({ LOG_FILE: join(server.folder, logFile) });
    await allServe(server, 2);
    const pids = new Map<number, number>();
    await waitFor('an answer of each worker', async () => {
      const { json } = await requestJson<{ worker: { index: number; pid: number } }>(
        `${server.url}/sse/health`,
        // Another connection may reach another worker.
        { headers: { connection: 'close' } },
      );
      pids.set(json.worker.index, json.worker.pid);
      return pids.size === 2;
    });
    expect(new Set(pids.keys())).toEqual(new Set([1, 2]));
    expect(new Set(pids.values())).toEqual(new Set(workerPids()));
    const streams = openStreams(STREAMS);
    await Promise.all(streams.map((s) => s.opened()));
    await server.stop();
    const text = readFileSync(join(server.folder, logFile), 'utf8');
    const lines = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { level: string; message: string; worker?: number });
    const opened = lines.filter((line) => line.message === 'stream opened');
    expect(opened.length).toBe(STREAMS);
    expect(new Set(opened.map((line) => line.worker))).toEqual(new Set([1, 2]));
    expect(
      lines.filter((line) => line.worker === undefined && line.level === 'INFO').map((line) => line.message),
    ).toEqual([
      expect.stringMatching(/^ready: all workers serve/),
      expect.stringMatching(/^stopping: every worker drains/),
      'stopped',
    ]);
  });

  it('are one target for Prometheus, which promtool has nothing to say about', async () => {
    server = await startWorkers(2);
    const streams = openStreams(STREAMS);
    await Promise.all(streams.map((s) => s.opened()));
    await Promise.all(newPublishers(10).map((p, n) => p.send(message(n))));
    const scrape = await Scrape.of(server.metricsPort);
    expect(scrape.complaints()).toBe('');
    for (const worker of WORKERS) {
      expect(scrape.sum('message_push_worker_up', { worker })).toBe(1);
      expect(scrape.sum('message_push_build_info', { worker })).toBe(1);
      expect(scrape.sum('process_resident_memory_bytes', { worker })).toBeGreaterThan(10_000_000);
    }
    const types = scrape.text.match(/^# TYPE .*$/gm) ?? [];
    expect(new Set(types).size).toBe(types.length);
  });

  it('that are killed again and again are replaced, and nothing is lost, repeated or reordered', async () => {
    const workers = 3;
    const kills = 6;
    server = await startWorkers(workers, FLEET_ENV);
    const run = await runFleet({
      name: 'worker kills',
      nodes: [server],
      size: { messages: 30_000, streams: 200, messagesPerSecond: 2000 },
      faults: async (fleet) => {
        for (let kill = 1; kill <= kills; kill++) {
          await fleet.reached((0.9 * kill) / kills);
          process.kill(fleet.random.pick(workerPids()), 'SIGKILL');
        }
      },
    });
    expect(run.verdict, run.explanation).toMatchObject({ ...NOTHING_LOST, shownAgain: 0, gapEvents: 0 });
    expect(run.isSettled, run.explanation).toBe(true);
    expect(run.streams.filter((s) => s.client.isFailed)).toEqual([]);
    await allServe(server, workers, 40_000);
    const scrape = await Scrape.of(server.metricsPort);
    expect(scrape.sum('message_push_worker_restarts_total')).toBe(kills);
  });
});

describe('a service of several workers', () => {
  it('drains them all when it is told to stop, answers what is under way and ends with 0', async () => {
    const drainMs = 3000;
    server = await startWorkers(2, { DRAIN_TIMEOUT: String(drainMs / 1000) });
    const streams = Array.from(
      { length: STREAMS },
      () => new StreamClient({ port: server.port, path: '/sse/stream?channels=c', reconnects: false }),
    );
    clients.push(...streams);
    await Promise.all(streams.map((s) => s.opened()));
    const batches = newPublishers(20);
    await Promise.all(batches.map((p, n) => p.send(message(n))));
    const pids = workerPids();
    const pending = batches.map((p, i) =>
      p.batch(Array.from({ length: 50 }, (_, k) => message(1000 + i * 50 + k))).then((a) => a.status),
    );
    await Promise.race(pending);
    const sinceMs = performance.now();
    server.signal('SIGTERM');
    expect(await Promise.allSettled(pending)).toEqual(
      pending.map(() => ({ status: 'fulfilled', value: 200 })),
    );
    expect(await server.exited(drainMs + 5000)).toEqual({ code: 0, signal: null });
    expect(performance.now() - sinceMs).toBeLessThan(drainMs + 1500);
    expect(pids.filter(isAlive)).toEqual([]);
    for (const stream of streams) {
      const farewell = stream.events.find((e) => e.type === 'reconnect');
      expect(JSON.parse(farewell?.data ?? '{}').data?.reason).toBe('draining');
    }
    await server.start();
    expect((await readHistory(server.url, 'channel:c')).entries.length).toBe(20 + 20 * 50);
  });

  it('ends at once at the second signal, and its workers with it', async () => {
    server = await startWorkers(2, { DRAIN_TIMEOUT: '60' });
    await Promise.all(openStreams(STREAMS).map((s) => s.opened()));
    const pids = workerPids();
    server.signal('SIGTERM');
    await waitFor('readiness to end', async () => (await server.readiness()) === 503, { timeoutMs: 2000 });
    server.signal('SIGTERM');
    expect(await server.exited(2000)).toEqual({ code: 143, signal: null });
    await waitFor('the end of its workers', () => !pids.some(isAlive), { timeoutMs: 2000 });
  });

  it('takes its workers with it when it is killed, and starts again on the same port', async () => {
    server = await startWorkers(2);
    const pids = workerPids();
    await server.kill();
    await waitFor('the end of its workers', () => !pids.some(isAlive), { timeoutMs: 5000 });
    await server.start();
    await allServe(server, 2);
    expect(workerPids().length).toBe(2);
  });

  it('is refused when its workers cannot start, with their reason', async () => {
    server = await startWorkers(2);
    await server.stop();
    await redis.dispose();
    redis = await RedisServer.start({ port: redis.port, password: 'right' });
    await expect(server.start({ REDIS_PASSWORD: 'wrong' })).rejects.toThrow(/REDIS_PASSWORD/);
    expect(await server.exited()).toEqual({ code: 1, signal: null });
    expect(server.output).toContain('no worker could be started');
  });

  it('is refused when its port is taken', async () => {
    server = await startWorkers(2);
    const second = TestServer.start({
      env: { ...standaloneEnv(redis), WORKER_THREADS: '2', SERVICE_PORT: String(server.port) },
    });
    await expect(second).rejects.toThrow(`SERVICE_PORT=${server.port}: the port is taken`);
  });
});
