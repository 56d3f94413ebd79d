/**
 * The cost of a publish for Redis and the node, compared with a minimal alternative: a script of `XADD` with trimming
 * and `PUBLISH`, called once per message. Both take turns of half a second on the same Redis, so that a disturbance of
 * the machine affects both. One node listens to all channels.
 *
 * Ids are kept for longer than the measurement. The cost of expiring them, mostly in a thread of its own in Redis, is
 * measured separately.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { BareApi } from '../load/bare-worker.ts';
import { FleetLoad } from '../load/fleet-load.ts';
import { Worker } from '../load/rpc.ts';
import { missingRedis, RedisServer, redisVersion } from '../redis-server.ts';
import type { Integrity, Measurement, Metric, RedisContext, RedisScenario } from './scenario.ts';

const CHANNELS = [1, 100, 10_000] as const;
const MAX_MESSAGES = 1000;
const SLICE_MS = 500;
/** Number of turns in progress at a time. */
const UNDER_WAY = 2;
const ID_TTL_MS = 600_000;
const REMEMBERING_MS = 6000;
const FORGETTING_MS = 2000;
const BARE_PATH = fileURLToPath(new URL('../load/bare-worker.js', import.meta.url));

interface Case {
  /** Key of the metric. */
  readonly key: string;
  readonly channels: number;
  readonly publishes: number;
  readonly underWay: number;
  /** Options of the Redis server. */
  readonly isDurable?: boolean;
  readonly isCluster?: boolean;
}

const cpuMetric = (key: string, what: string, more: Partial<Metric> = {}): Metric => ({
  key,
  label: `Redis CPU per publish, ${what}`,
  unit: 'µs',
  better: 'lower',
  digits: 2,
  ...more,
});
const count = (n: number) => n.toLocaleString('en');
const named = (n: number) => (n === 1 ? 'one channel' : `${count(n)} channels`);
const GOAL = { isCharted: true, goals: { bare: 1.6 } };

export const redisPublish: RedisScenario = {
  name: 'redis-publish',
  title: 'Redis: the cost of a publish',
  describe: (s) =>
    `turns of ${s.batchSize} publishes, each with history, epoch, expiry and an id of the publisher's, against a script of XADD ` +
    `and PUBLISH called once per message; on one Redis in turn, one node listens; history of ${count(MAX_MESSAGES)} messages`,
  defaults: { durationMs: 6000, warmupMs: 1500, batchSize: 100 },
  contenders: [
    { name: 'ours', label: 'redis engine', missing: missingRedis, version: redisVersion },
    { name: 'bare', label: 'bare script', missing: missingRedis, version: redisVersion },
  ],
  metrics: [
    ...CHANNELS.map((n) => cpuMetric(`redisUs${n}`, named(n), GOAL)),
    cpuMetric('redisUsDurable', `${named(100)}, append-only file`, GOAL),
    cpuMetric('redisUsCluster', `${named(100)}, in a cluster`),
    cpuMetric('redisUsSingle', 'one at a time'),
    cpuMetric('redisUsForget', 'later, to forget its id'),
    {
      key: 'nodeUs',
      label: `node CPU per publish, ${named(100)}`,
      unit: 'µs',
      better: 'lower',
      digits: 2,
      isCharted: true,
      limit: 10,
    },
    { key: 'nodeUsSingle', label: 'node CPU, one at a time', unit: 'µs', better: 'lower', digits: 1 },
    { key: 'listenerUs', label: 'node CPU per announcement heard', unit: 'µs', better: 'lower', digits: 2 },
    {
      key: 'perSecond',
      label: `publishes a second, ${named(100)}`,
      unit: '1/s',
      better: 'higher',
      digits: 0,
    },
    { key: 'redisBusy', label: 'Redis busy meanwhile', unit: 'share', better: 'higher', digits: 2 },
  ],

  runRound: async (context) => {
    const ours = new Figures();
    const bare = new Figures();
    const turn = { publishes: context.settings.batchSize, underWay: UNDER_WAY };
    for (const channels of CHANNELS) {
      const figures = await measure(context, { key: `redisUs${channels}`, channels, ...turn });
      ours.take(figures.ours);
      bare.take(figures.bare);
    }
    const others: Case[] = [
      { key: 'redisUsDurable', channels: 100, ...turn, isDurable: true },
      { key: 'redisUsCluster', channels: 100, ...turn, isCluster: true },
      { key: 'redisUsSingle', channels: 100, publishes: 1, underWay: 1 },
    ];
    for (const each of others) {
      const figures = await measure(context, each);
      ours.take(figures.ours);
      bare.take(figures.bare);
    }
    const redisUsForget = await measureForgetting(context);
    ours.take({ metrics: { redisUsForget }, expected: 0, received: 0 });
    return { ours: ours.measurement(), bare: bare.measurement() };
  },
};

interface Part {
  readonly metrics: Readonly<Record<string, number>>;
  readonly expected: number;
  readonly received: number;
}

class Figures {
  readonly metrics: Record<string, number> = {};
  #expected = 0;
  #received = 0;

  take({ metrics, expected, received }: Part): void {
    Object.assign(this.metrics, metrics);
    this.#expected += expected;
    this.#received += received;
  }

  measurement(): Measurement {
    const missing = Math.max(0, this.#expected - this.#received);
    const integrity: Integrity = {
      expected: this.#expected,
      received: this.#received,
      missing,
      repeated: 0,
      gaps: 0,
      brokenStreams: 0,
      failedPublishes: 0,
    };
    return { metrics: this.metrics, integrity, notes: [] };
  }
}

/** A publishing side that is measured in slices. */
interface Side {
  readonly start: () => Promise<void>;
  readonly stop: () => Promise<void>;
  /** Resolves with the published messages and the CPU time of the node. */
  readonly read: () => Promise<{ published: number; cpuUs: number }>;
  /** Resolves with the CPU time of the listener. */
  readonly listenerCpuUs: () => Promise<number>;
  readonly received: () => Promise<number>;
}

function measure(context: RedisContext, wanted: Case): Promise<{ ours: Part; bare: Part }> {
  const { directory, pinning, redisOptions: options } = context;
  const { isDurable = false, isCluster = false } = wanted;
  const server = { directory, cores: pinning.server, isDurable, isCluster, options };
  return RedisServer.with(server, async (redis) => {
    let result: { ours: Part; bare: Part } | undefined;
    await withOurs(context, redis, wanted, (ours) =>
      withBare(context, redis, wanted, async (bare) => {
        result = await takeTurns(context, redis, wanted, { ours, bare });
      }),
    );
    if (result === undefined) throw new Error('unreachable: measured or failed');
    return result;
  });
}

async function withOurs(
  { settings, pinning }: RedisContext,
  redis: RedisServer,
  { channels, publishes, underWay, isCluster = false }: Case,
  use: (side: Side) => Promise<void>,
): Promise<void> {
  const options = {
    isCluster,
    port: redis.port,
    count: 1,
    maxMessagesPerChannel: MAX_MESSAGES,
    idempotencyTtlMs: ID_TTL_MS,
  };
  const crew = { workers: 1, cores: pinning.load };
  const range = { prefix: 'user:', count: channels };
  const plan = { publishes, underWay, channels: range, messageBytes: settings.messageBytes, hasIds: true };
  await FleetLoad.open(options, crew, (publisher) =>
    FleetLoad.open(options, crew, async (listener) => {
      await listener.watchShared(range);
      await use({
        start: () => publisher.start(plan),
        stop: () => publisher.stopPublishing(),
        read: () => publisher.snapshot(),
        listenerCpuUs: async () => (await listener.snapshot()).cpuUs,
        received: async () => (await listener.snapshot()).received,
      });
    }),
  );
}

async function withBare(
  { settings, pinning }: RedisContext,
  redis: RedisServer,
  { channels, publishes, underWay }: Case,
  use: (side: Side) => Promise<void>,
): Promise<void> {
  const { messageBytes } = settings;
  const options = { modulePath: BARE_PATH, cores: pinning.load };
  const publisher = new Worker<BareApi>(options);
  const listener = new Worker<BareApi>(options);
  try {
    const address = { port: redis.port, channels };
    await listener.call('listen', address);
    await publisher.call('open', { ...address, maxMessagesPerChannel: MAX_MESSAGES, messageBytes });
    const bytesBefore = (await listener.call('snapshot', undefined)).receivedBytes;
    await use({
      start: () => publisher.call('start', { publishes, underWay }),
      stop: () => publisher.call('stop', undefined),
      read: () => publisher.call('snapshot', undefined),
      listenerCpuUs: async () => (await listener.call('snapshot', undefined)).cpuUs,
      // Announcements are counted by bytes: each is its message plus a known number for frame and channel name.
      received: async () => {
        const { receivedBytes } = await listener.call('snapshot', undefined);
        return Math.floor((receivedBytes - bytesBefore) / messageBytes);
      },
    });
  } finally {
    await Promise.all([publisher.stop(), listener.stop()]);
  }
}

interface Sum {
  published: number;
  redisUs: number;
  nodeUs: number;
  listenerUs: number;
  wallUs: number;
}

async function takeTurns(
  { settings }: RedisContext,
  redis: RedisServer,
  { key, publishes }: Case,
  sides: { ours: Side; bare: Side },
): Promise<{ ours: Part; bare: Part }> {
  const zero = (): Sum => ({ published: 0, redisUs: 0, nodeUs: 0, listenerUs: 0, wallUs: 0 });
  const sums = { ours: zero(), bare: zero() };
  const slice = async (side: Side, sum: Sum | undefined): Promise<void> => {
    const [before, listenerBefore] = await Promise.all([side.read(), side.listenerCpuUs()]);
    const redisBefore = redis.cpuUs();
    const startMs = performance.now();
    await side.start();
    await sleep(SLICE_MS);
    await side.stop();
    const wallUs = (performance.now() - startMs) * 1000;
    const redisUs = redis.cpuUs() - redisBefore;
    const [after, listenerAfter] = await Promise.all([side.read(), side.listenerCpuUs()]);
    if (sum === undefined) return;
    sum.published += after.published - before.published;
    sum.redisUs += redisUs;
    sum.nodeUs += after.cpuUs - before.cpuUs;
    sum.listenerUs += listenerAfter - listenerBefore;
    sum.wallUs += wallUs;
  };
  const rounds = (ms: number) => Math.max(1, Math.round(ms / SLICE_MS));
  const warmups = rounds(settings.warmupMs);
  for (let i = 0; i < warmups + rounds(settings.durationMs); i++) {
    const isMeasured = i >= warmups;
    await slice(sides.ours, isMeasured ? sums.ours : undefined);
    await slice(sides.bare, isMeasured ? sums.bare : undefined);
  }
  const part = async (side: Side, sum: Sum): Promise<Part> => {
    const { published } = await side.read();
    return {
      metrics: figuresOf(key, publishes, sum),
      expected: published,
      received: Math.min(await side.received(), published),
    };
  };
  await sleep(SLICE_MS); // for what is still on its way to the listeners
  return { ours: await part(sides.ours, sums.ours), bare: await part(sides.bare, sums.bare) };
}

function figuresOf(key: string, publishes: number, sum: Sum): Record<string, number> {
  const { published, redisUs, nodeUs, listenerUs, wallUs } = sum;
  return {
    [key]: redisUs / published,
    ...(publishes === 1 ? { nodeUsSingle: nodeUs / published } : {}),
    ...(key === 'redisUs100'
      ? {
          nodeUs: nodeUs / published,
          listenerUs: listenerUs / published,
          perSecond: (published * 1e6) / wallUs,
          redisBusy: redisUs / wallUs,
        }
      : {}),
  };
}

/**
 * Publishes with ids, then makes Redis drop them as it does when their time window ends, while nothing else happens.
 */
function measureForgetting({ settings, pinning, directory, redisOptions }: RedisContext): Promise<number> {
  const server = { directory, cores: pinning.server, isDurable: false, options: redisOptions };
  return RedisServer.with(server, async (redis) => {
    let perId = 0;
    const options = {
      port: redis.port,
      count: 1,
      maxMessagesPerChannel: MAX_MESSAGES,
      idempotencyTtlMs: ID_TTL_MS,
    };
    await FleetLoad.open(options, { workers: 1, cores: pinning.load }, async (fleet) => {
      await fleet.start({
        publishes: settings.batchSize,
        underWay: UNDER_WAY,
        channels: { prefix: 'user:', count: 100 },
        messageBytes: settings.messageBytes,
        hasIds: true,
      });
      await sleep(REMEMBERING_MS);
      await fleet.stopPublishing();
      const { published } = await fleet.snapshot();
      const windows = (await redis.call('KEYS', 'mps:r:*')) as string[];
      const cpuOf = async (what: () => Promise<unknown>): Promise<number> => {
        const beforeUs = redis.cpuUs();
        await what();
        await sleep(FORGETTING_MS);
        return redis.cpuUs() - beforeUs;
      };
      const forgettingUs = await cpuOf(() => redis.call('UNLINK', ...windows));
      const idleUs = await cpuOf(() => Promise.resolve());
      perId = Math.max(0, forgettingUs - idleUs) / published;
    });
    return perId;
  });
}
