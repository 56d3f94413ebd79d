/**
 * A simulated fleet: the engines of 1 to 100 nodes on one Redis, without HTTP and streams, in a few processes of this
 * machine. Shows the cost of a node as nodes are added: at rest, for messages to single users, and for broadcasts,
 * which every node must receive.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { EngineSnapshot } from '../load/engine-worker.ts';
import { FleetLoad } from '../load/fleet-load.ts';
import { missingRedis, RedisServer, redisVersion } from '../redis-server.ts';
import type { Measurement, RedisContext, RedisScenario } from './scenario.ts';

const SIZES = [1, 3, 10, 30, 100] as const;
const MAX_WORKERS = 4;
const MAX_MESSAGES = 1000;
const ID_TTL_MS = 300_000;
const USER_TURN = 20;
const BROADCASTS_PER_SECOND = 20;
/** A little more than one round of comparing positions. */
const REST_MS = 11_000;

export const redisFleet: RedisScenario = {
  name: 'redis-fleet',
  title: 'Redis: a fleet of nodes (simulation)',
  describe: (s) =>
    `engines of 1 to ${s.nodes} nodes without HTTP on one Redis, ${s.channels.toLocaleString('en')} watched channels each and the ` +
    `broadcast channel; ${s.perSecond} publishes a second in all to single users in turns of ${USER_TURN}, then ${BROADCASTS_PER_SECOND} broadcasts a second`,
  defaults: {
    nodes: 100,
    channels: 1000,
    perSecond: 2000,
    durationMs: 8000,
    warmupMs: 1000,
    settleMs: REST_MS,
  },
  contenders: SIZES.map((nodes) => ({
    name: nameOf(nodes),
    label: nodes === 1 ? '1 node' : `${nodes} nodes`,
    missing: missingRedis,
    version: redisVersion,
  })),
  metrics: [
    {
      key: 'userRedisUs',
      label: 'Redis CPU per publish to a user',
      unit: 'µs',
      better: 'lower',
      digits: 1,
      isCharted: true,
    },
    {
      key: 'userNodeUs',
      label: 'CPU of all nodes per publish to a user, sent and heard',
      unit: 'µs',
      better: 'lower',
      digits: 1,
      isCharted: true,
    },
    {
      key: 'broadcastRedisUs',
      label: 'Redis CPU per broadcast',
      unit: 'µs',
      better: 'lower',
      digits: 0,
      isCharted: true,
    },
    {
      key: 'broadcastRedisUsPerNode',
      label: 'Redis CPU per broadcast and node',
      unit: 'µs',
      better: 'lower',
      digits: 1,
    },
    {
      key: 'broadcastNodeUs',
      label: 'CPU of all nodes per broadcast and node, sent and heard',
      unit: 'µs',
      better: 'lower',
      digits: 0,
    },
    {
      key: 'restRedisMs',
      label: 'Redis CPU per node at rest',
      unit: 'ms/s',
      better: 'lower',
      digits: 2,
      isCharted: true,
    },
    { key: 'restNodeMs', label: 'CPU of a node at rest', unit: 'ms/s', better: 'lower', digits: 2 },
    { key: 'watchRedisUs', label: 'Redis CPU per channel watched', unit: 'µs', better: 'lower', digits: 1 },
    { key: 'watchNodeUs', label: 'node CPU per channel watched', unit: 'µs', better: 'lower', digits: 1 },
    { key: 'connections', label: 'connections to Redis per node', unit: '', better: 'lower', digits: 1 },
  ],

  runRound: async (context) => {
    const figures: Record<string, Measurement> = {};
    for (const nodes of SIZES) {
      if (nodes <= context.settings.nodes) figures[nameOf(nodes)] = await measure(context, nodes);
    }
    return figures;
  },
};

function nameOf(nodes: number): string {
  return `n${nodes}`;
}

interface Reading {
  readonly fleet: EngineSnapshot;
  readonly redisUs: number;
}

/** The resources used in a window, minus those used at rest. */
interface Used {
  readonly published: number;
  readonly received: number;
  readonly nodeUs: number;
  readonly redisUs: number;
}

class Meter {
  readonly #fleet: FleetLoad;
  readonly #redis: RedisServer;
  #rest = { nodeShare: 0, redisShare: 0 };

  constructor(fleet: FleetLoad, redis: RedisServer) {
    this.#fleet = fleet;
    this.#redis = redis;
  }

  async read(): Promise<Reading> {
    return { fleet: await this.#fleet.snapshot(), redisUs: this.#redis.cpuUs() };
  }

  async rest(ms: number): Promise<{ nodeShare: number; redisShare: number }> {
    const before = await this.read();
    await sleep(ms);
    const after = await this.read();
    const wallUs = after.fleet.atUs - before.fleet.atUs;
    this.#rest = {
      nodeShare: (after.fleet.cpuUs - before.fleet.cpuUs) / wallUs,
      redisShare: (after.redisUs - before.redisUs) / wallUs,
    };
    return this.#rest;
  }

  used(before: Reading, after: Reading): Used {
    const wallUs = after.fleet.atUs - before.fleet.atUs;
    return {
      published: after.fleet.published - before.fleet.published,
      received: after.fleet.received - before.fleet.received,
      nodeUs: after.fleet.cpuUs - before.fleet.cpuUs - this.#rest.nodeShare * wallUs,
      redisUs: after.redisUs - before.redisUs - this.#rest.redisShare * wallUs,
    };
  }
}

async function measure(context: RedisContext, nodes: number): Promise<Measurement> {
  const { directory, pinning, settings } = context;
  return RedisServer.with(
    { directory, cores: pinning.server, isDurable: false, options: context.redisOptions },
    async (redis) => {
      let measurement: Measurement | undefined;
      const options = {
        port: redis.port,
        count: nodes,
        maxMessagesPerChannel: MAX_MESSAGES,
        idempotencyTtlMs: ID_TTL_MS,
      };
      await FleetLoad.open(options, { workers: MAX_WORKERS, cores: pinning.load }, async (fleet) => {
        const clients = (await redis.info('clients', 'connected_clients')) - 1;
        const meter = new Meter(fleet, redis);
        const unwatched = await meter.read();
        await fleet.watchOwn({ prefix: 'user:', count: settings.channels });
        const watched = await meter.read();
        await fleet.watchShared({ prefix: '', count: 1 });
        const rest = await meter.rest(settings.settleMs);
        const user = await publishFor(context, fleet, meter, {
          perSecond: settings.perSecond / USER_TURN,
          publishes: USER_TURN,
          channels: { prefix: 'user:', count: settings.channels, owners: nodes },
        });
        const broadcast = await publishFor(context, fleet, meter, {
          perSecond: BROADCASTS_PER_SECOND,
          publishes: 1,
          channels: { prefix: '', count: 1 },
        });
        const { fleet: end } = await meter.read();
        const expected = user.total + broadcast.total * nodes;
        const channels = nodes * settings.channels;
        measurement = {
          metrics: {
            userRedisUs: user.used.redisUs / user.used.published,
            userNodeUs: user.used.nodeUs / user.used.published,
            broadcastRedisUs: broadcast.used.redisUs / broadcast.used.published,
            broadcastRedisUsPerNode: broadcast.used.redisUs / broadcast.used.published / nodes,
            broadcastNodeUs: broadcast.used.nodeUs / broadcast.used.received,
            restRedisMs: (rest.redisShare * 1000) / nodes,
            restNodeMs: (rest.nodeShare * 1000) / nodes,
            watchRedisUs: (watched.redisUs - unwatched.redisUs) / channels,
            watchNodeUs: (watched.fleet.cpuUs - unwatched.fleet.cpuUs) / channels,
            connections: clients / nodes,
          },
          integrity: {
            expected,
            received: end.received,
            missing: Math.max(0, expected - end.received),
            repeated: 0,
            gaps: end.holes,
            brokenStreams: 0,
            failedPublishes: 0,
          },
          notes: [],
        };
      });
      if (measurement === undefined) throw new Error('unreachable: measured or failed');
      return measurement;
    },
  );
}

type PacedPlan = Pick<Parameters<FleetLoad['start']>[0], 'perSecond' | 'publishes' | 'channels'>;

async function publishFor(
  { settings }: RedisContext,
  fleet: FleetLoad,
  meter: Meter,
  plan: PacedPlan,
): Promise<{ used: Used; total: number }> {
  const start = await fleet.snapshot();
  await fleet.start({ ...plan, underWay: 1, messageBytes: settings.messageBytes, hasIds: true });
  await sleep(settings.warmupMs);
  const before = await meter.read();
  await sleep(settings.durationMs);
  const after = await meter.read();
  await fleet.stopPublishing();
  await sleep(500); // the last announcements
  const end = await fleet.snapshot();
  return { used: meter.used(before, after), total: end.published - start.published };
}
