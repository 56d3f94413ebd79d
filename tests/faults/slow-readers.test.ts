/**
 * Slow readers neither delay the others nor take memory: they are served from history, and when they read at full
 * speed again they get every message once, in order, on the connection that they have.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { request } from '../support/http/http.ts';
import { TestPublisher } from '../support/messages/publisher.ts';
import { atScale } from '../support/scale.ts';
import { TestServer } from '../support/service/server.ts';
import { StreamClient } from '../support/streams/stream-client.ts';
import { waitFor, waitWhileMoving } from '../support/wait.ts';

const STREAMS = atScale(1000, 300);
const SLOW = STREAMS / 10;
const BROADCASTS_PER_SECOND = 20;
const BODY_BYTES = 1000;
/** Larger than the default: all slow readers together may take more than what resident memory grows by itself. */
const OUTBOX_BYTES = atScale(256, 1024) * 1024;
/** More than the kernel buffers for a peer that does not read. */
const BALLAST_MESSAGES = 100;
const BALLAST_BYTES = 60_000;
/** Generous because machines are shared; the benchmark's goal is 1.5. */
const MAX_LATENCY_RATIO = 3;
const MIN_BASE_MS = 10;

let server: TestServer;
const clients: StreamClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await server.dispose();
});

interface Reader {
  readonly client: StreamClient;
  readonly ballast: number[];
  readonly shown: number[];
  gaps: number;
}

interface Phase {
  /** Latencies in ms: of all deliveries, and the median of each second's 99th percentile, which ignores hiccups. */
  readonly p50: number;
  readonly p99: number;
  readonly typicalP99: number;
  readonly samples: number;
  /** Growth of resident memory, from before the first broadcast to its peak. */
  readonly grownBytes: number;
}

it('a tenth of the streams reads a kilobyte a second, and the others and the memory do not notice', async () => {
  const base = await run('fast', atScale(15, 6));
  const slow = await run('slow', atScale(20, 8));
  const ratio = slow.typicalP99 / Math.max(MIN_BASE_MS, base.typicalP99);
  const extraBytes = slow.grownBytes - base.grownBytes;
  const latency = ({ p50, p99, typicalP99 }: Phase): string =>
    `${[p50, p99, typicalP99].map((ms) => ms.toFixed(1)).join('/')} ms`;
  const mb = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);
  console.log(
    `slow readers: p50/p99/median second's p99 ${latency(base)} without slow ones (${base.samples} deliveries), ` +
      `${latency(slow)} with ${SLOW} of ${STREAMS} (${slow.samples} deliveries), ratio ${ratio.toFixed(2)}; memory grew by ${mb(base.grownBytes)} MB without, ${mb(slow.grownBytes)} MB with; ` +
      `limit ${mb(SLOW * OUTBOX_BYTES)} MB more`,
  );
  expect(ratio).toBeLessThan(MAX_LATENCY_RATIO);
  expect(extraBytes).toBeLessThan(SLOW * OUTBOX_BYTES);
});

/** One phase. The two differ only in how fast a tenth of the streams reads. */
async function run(pace: 'fast' | 'slow', seconds: number): Promise<Phase> {
  server = await TestServer.start({
    env: { MAX_CONNECTIONS: '2000', MAX_OUTBOX_BYTES: String(OUTBOX_BYTES) },
  });
  /** Latencies by the number of the broadcast. */
  const latencies: number[][] = [];
  const readers = Array.from({ length: STREAMS }, (_, i) =>
    openReader(i < SLOW, i < SLOW && pace === 'slow', latencies),
  );
  await waitFor('all streams', () => readers.every((r) => r.client.lastEventId !== ''), {
    timeoutMs: 30_000,
  });
  const publisher = new TestPublisher(server.url);
  const tenth = readers.slice(0, SLOW);
  const restingBytes = await settledMemory();
  let highestBytes = restingBytes;
  const ballast = Array.from({ length: BALLAST_MESSAGES }, (_, n) => ({
    type: 'custom',
    service: 'test',
    target: { channel: 'ballast' },
    data: { n, text: 'b'.repeat(BALLAST_BYTES) },
  }));
  for (let i = 0; i < ballast.length; i += 10) {
    await publisher.batchUntilAcknowledged(ballast.slice(i, i + 10));
    highestBytes = Math.max(highestBytes, server.residentBytes);
  }
  const isBallastDone =
    pace === 'slow'
      ? async () => (await slowSessions()) >= SLOW
      : () => tenth.every((r) => r.ballast.length === BALLAST_MESSAGES);
  await waitFor('the slow readers to be known as such', isBallastDone, { timeoutMs: 20_000, pollMs: 100 });
  const count = seconds * BROADCASTS_PER_SECOND;
  const startMs = performance.now();
  for (let n = 0; n < count; n++) {
    const answer = await publisher.broadcast({
      type: 'info',
      service: 'test',
      data: { n, at: performance.now(), text: 'c'.repeat(BODY_BYTES) },
    });
    expect(answer.status).toBe(200);
    highestBytes = Math.max(highestBytes, server.residentBytes);
    // The delay keeps the rate of the scenario.
    await delay(Math.max(0, startMs + ((n + 1) * 1000) / BROADCASTS_PER_SECOND - performance.now()));
  }
  const fast = readers.slice(SLOW);
  await waitWhileMoving(
    'every message on the fast streams',
    () => fast.every((r) => r.shown.length === count),
    () => fast.reduce((sum, r) => sum + r.shown.length, 0),
  );
  if (pace === 'slow')
    expect(tenth.filter((r) => r.shown.length > 0).length, 'slow streams at the top').toBe(0);
  for (const { client } of tenth) client.readAtFullSpeed();
  await waitWhileMoving(
    'every message on the slow streams',
    () => tenth.every((r) => r.shown.length === count),
    () => tenth.reduce((sum, r) => sum + r.client.bytes, 0),
  );
  publisher.close();
  const numbers = (length: number): number[] => Array.from({ length }, (_, n) => n);
  for (const { shown } of readers) expect(shown).toEqual(numbers(count));
  for (const r of tenth) expect(r.ballast).toEqual(numbers(BALLAST_MESSAGES));
  expect(readers.filter((r) => r.client.opens !== 1 || r.client.endsByPeer > 0 || r.gaps > 0)).toEqual([]);
  for (const client of clients.splice(0)) client.close();
  await server.dispose();
  const samples = latencies.flat();
  const ofSeconds = Array.from({ length: seconds }, (_, second) => {
    const from = second * BROADCASTS_PER_SECOND;
    return quantile(latencies.slice(from, from + BROADCASTS_PER_SECOND).flat(), 0.99);
  });
  return {
    p50: quantile(samples, 0.5),
    p99: quantile(samples, 0.99),
    typicalP99: quantile(ofSeconds, 0.5),
    samples: samples.length,
    grownBytes: highestBytes - restingBytes,
  };
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length * share)] ?? 0;
}

function openReader(hasBallast: boolean, isSlow: boolean, latencies: number[][]): Reader {
  const ballast: number[] = [];
  const shown: number[] = [];
  const client = new StreamClient({
    port: server.port,
    path: `/sse/stream${hasBallast ? '?channels=ballast' : ''}`,
    ...(isSlow && { bytesPerSecond: 1024 }),
    onEvent: (type, data) => {
      if (type === 'info') {
        const match = /"n":(\d+),"at":([\d.]+)/.exec(data);
        const n = Number(match?.[1]);
        shown.push(n);
        latencies[n] ??= [];
        if (!hasBallast) latencies[n].push(performance.now() - Number(match?.[2]));
      } else if (type === 'custom') ballast.push(Number(/"n":(\d+)/.exec(data)?.[1]));
      else if (type === 'gap') reader.gaps++;
    },
  });
  clients.push(client);
  const reader: Reader = { client, ballast, shown, gaps: 0 };
  return reader;
}

async function slowSessions(): Promise<number> {
  const { text } = await request(`http://127.0.0.1:${server.metricsPort}/metrics`);
  return Number(/^message_push_slow_sessions_total(?:\{[^}]*\})? (\d+)$/m.exec(text)?.[1] ?? 0);
}

/** Resident memory once it has settled after the opening of the streams. */
async function settledMemory(): Promise<number> {
  let last = 0;
  let steady = 0;
  return waitFor(
    'steady memory',
    () => {
      const now = server.residentBytes;
      steady = Math.abs(now - last) < 128 * 1024 ? steady + 1 : 0;
      last = now;
      return steady >= 5 ? now : undefined;
    },
    { pollMs: 100, timeoutMs: 20_000 },
  );
}
