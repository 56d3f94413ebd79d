/**
 * The same streams and the same publishes on one node and on three, which shows the cost of additional nodes. Streams
 * and publishers are spread over the nodes, so that most messages cross from one node to another. All nodes share one
 * core.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { missingRedis, type RedisServer, redisVersion } from '../redis-server.ts';
import { errorNotes } from './broadcast.ts';
import { onNodes } from './redis-stage.ts';
import { type Measurement, mergeIntegrity, type RedisContext, type RedisScenario } from './scenario.ts';
import type { Stage } from './stage.ts';

const NODES = { ours: 3, one: 1 } as const;
/** Number of messages to single streams for each broadcast. */
const BROADCAST_SHARE = 100;

export const redisNodes: RedisScenario = {
  name: 'redis-nodes',
  title: 'Redis: three nodes against one',
  describe: (s) =>
    `${s.streams} streams on one Redis; ${s.perSecond} publishes a second to single streams, then ` +
    `${s.perSecond / BROADCAST_SHARE} broadcasts a second to all; all nodes on one core`,
  defaults: { streams: 6000, publishers: 12, perSecond: 500, durationMs: 10_000 },
  contenders: [
    { name: 'ours', label: '3 nodes', missing: missingRedis, version: redisVersion },
    { name: 'one', label: '1 node', missing: missingRedis, version: redisVersion },
  ],
  metrics: [
    {
      key: 'nodesUs',
      label: 'CPU of all nodes per publish and delivery',
      unit: 'µs',
      better: 'lower',
      digits: 0,
      isCharted: true,
    },
    {
      key: 'redisUs',
      label: 'Redis CPU per publish',
      unit: 'µs',
      better: 'lower',
      digits: 0,
      isCharted: true,
    },
    { key: 'p50Ms', label: 'publish to arrival, p50', unit: 'ms', better: 'lower', digits: 2 },
    { key: 'p99Ms', label: 'publish to arrival, p99', unit: 'ms', better: 'lower', digits: 2 },
    { key: 'perSecond', label: 'delivered a second', unit: '1/s', better: 'higher', digits: 0 },
    {
      key: 'broadcastNodesUs',
      label: 'CPU of all nodes per delivery of a broadcast',
      unit: 'µs',
      better: 'lower',
      digits: 2,
      isCharted: true,
    },
    {
      key: 'broadcastRedisUs',
      label: 'Redis CPU per broadcast',
      unit: 'µs',
      better: 'lower',
      digits: 0,
    },
    { key: 'broadcastP50Ms', label: 'broadcast to arrival, p50', unit: 'ms', better: 'lower', digits: 2 },
    { key: 'broadcastP99Ms', label: 'broadcast to arrival, p99', unit: 'ms', better: 'lower', digits: 2 },
    {
      key: 'broadcastPerSecond',
      label: 'broadcasts delivered a second',
      unit: '1/s',
      better: 'higher',
      digits: 0,
    },
    { key: 'connectNodesUs', label: 'node CPU per connect', unit: 'µs', better: 'lower', digits: 0 },
    { key: 'connectRedisUs', label: 'Redis CPU per connect', unit: 'µs', better: 'lower', digits: 0 },
    {
      key: 'rssBytesPerStream',
      label: 'resident memory per stream',
      unit: 'bytes',
      better: 'lower',
      digits: 0,
    },
    {
      key: 'rssMb',
      label: 'resident memory of a node without streams',
      unit: 'MB',
      better: 'lower',
      digits: 0,
    },
  ],

  runRound: async (context) => ({
    ours: await measure(context, NODES.ours),
    one: await measure(context, NODES.one),
  }),
};

async function measure(context: RedisContext, nodes: number): Promise<Measurement> {
  const unicast = await onNodes(context, nodes, (stage, redis) => runUnicast(context, stage, redis, nodes));
  const broadcast = await onNodes(context, nodes, (stage, redis) => runBroadcast(context, stage, redis));
  return {
    metrics: { ...unicast.metrics, ...broadcast.metrics },
    integrity: mergeIntegrity([unicast.integrity, broadcast.integrity]),
    notes: [...unicast.notes, ...broadcast.notes],
  };
}

async function runUnicast(
  { settings }: RedisContext,
  stage: Stage,
  redis: RedisServer,
  nodes: number,
): Promise<Measurement> {
  const { streams, perSecond, settleMs, warmupMs } = settings;
  // Some streams come and go first, so that what is loaded once is not counted as theirs.
  await stage.open('unicast', { count: Math.min(100, streams) });
  await stage.closeLoad();
  await sleep(settleMs);
  const before = { ...stage.usage(), redisUs: redis.cpuUs() };
  await stage.open('unicast');
  const opened = { ...stage.usage(), redisUs: redis.cpuUs() };
  await sleep(settleMs);
  const settled = stage.usage();
  const figures = await runPaced(settings.durationMs, perSecond, warmupMs, stage, redis);
  return {
    ...figures,
    metrics: {
      ...figures.metrics,
      connectNodesUs: (opened.cpuUs - before.cpuUs) / streams,
      connectRedisUs: (opened.redisUs - before.redisUs) / streams,
      rssBytesPerStream: (settled.rssBytes - before.rssBytes) / streams,
      rssMb: before.rssBytes / nodes / 2 ** 20,
    },
  };
}

async function runBroadcast(
  { settings }: RedisContext,
  stage: Stage,
  redis: RedisServer,
): Promise<Measurement> {
  await stage.open('broadcast');
  const perSecond = Math.max(1, settings.perSecond / BROADCAST_SHARE);
  const { metrics, ...rest } = await runPaced(
    settings.durationMs,
    perSecond,
    settings.warmupMs,
    stage,
    redis,
  );
  const { nodesUs = 0, redisUs = 0, p50Ms = 0, p99Ms = 0, perSecond: delivered = 0 } = metrics;
  return {
    ...rest,
    metrics: {
      broadcastNodesUs: nodesUs / settings.streams,
      broadcastRedisUs: redisUs,
      broadcastP50Ms: p50Ms,
      broadcastP99Ms: p99Ms,
      broadcastPerSecond: delivered,
    },
  };
}

async function runPaced(
  durationMs: number,
  perSecond: number,
  warmupMs: number,
  stage: Stage,
  redis: RedisServer,
): Promise<Measurement> {
  await stage.publishers.startPaced(perSecond);
  await sleep(warmupMs);
  await stage.streams.sampleLatency(1);
  const redisBefore = redis.cpuUs();
  const window = await stage.window(durationMs);
  const redisUs = redis.cpuUs() - redisBefore;
  const latency = (await stage.streams.latency()).summary();
  const integrity = await stage.finish();
  return {
    metrics: {
      nodesUs: window.serverCpuUs / window.published,
      redisUs: redisUs / window.published,
      p50Ms: latency.p50Ms,
      p99Ms: latency.p99Ms,
      perSecond: window.deliveries / window.seconds,
    },
    integrity,
    notes: [
      ...(window.lateMs > 0 ? [`the pace was held up for ${window.lateMs} ms`] : []),
      ...errorNotes(integrity.firstError),
    ],
  };
}
