/** The time from a POST to its stream at light load, with Redis and without. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ours } from '../peers/ours.ts';
import { missingRedis, redisVersion } from '../redis-server.ts';
import { errorNotes } from './broadcast.ts';
import { onNodes } from './redis-stage.ts';
import type { Measurement, RedisContext, RedisScenario } from './scenario.ts';
import { onStage, type Stage } from './stage.ts';

export const redisLatency: RedisScenario = {
  name: 'redis-latency',
  title: 'Redis: latency at light load',
  describe: (s) =>
    `${s.streams} streams, ${s.perSecond} publishes a second by POST to random ones, on the redis engine and on the embedded one`,
  defaults: { streams: 100, publishers: 8, perSecond: 100, durationMs: 20_000 },
  contenders: [
    { name: 'ours', label: 'redis engine', missing: missingRedis, version: redisVersion },
    { name: 'embedded', label: 'embedded engine', missing: ours.missing, version: ours.version },
  ],
  metrics: [
    {
      key: 'p50Ms',
      label: 'publish to arrival, p50',
      unit: 'ms',
      better: 'lower',
      digits: 2,
      isCharted: true,
    },
    {
      key: 'p99Ms',
      label: 'publish to arrival, p99',
      unit: 'ms',
      better: 'lower',
      digits: 2,
      isCharted: true,
    },
    { key: 'ackP50Ms', label: 'POST to answer, p50', unit: 'ms', better: 'lower', digits: 2 },
    { key: 'ackP99Ms', label: 'POST to answer, p99', unit: 'ms', better: 'lower', digits: 2 },
    { key: 'addedP50Ms', label: 'added to the embedded engine, p50', unit: 'ms', better: 'lower', digits: 2 },
    { key: 'addedP99Ms', label: 'added to the embedded engine, p99', unit: 'ms', better: 'lower', digits: 2 },
    { key: 'cpuUs', label: 'node CPU per publish and delivery', unit: 'µs', better: 'lower', digits: 0 },
  ],

  runRound: async (context) => {
    const redis = await onNodes(context, 1, (stage) => measure(stage, context));
    const embedded = await onStage({ ...context, peer: ours }, (stage) => measure(stage, context));
    const added = (key: string) => (redis.metrics[key] ?? 0) - (embedded.metrics[key] ?? 0);
    const metrics = { ...redis.metrics, addedP50Ms: added('p50Ms'), addedP99Ms: added('p99Ms') };
    return { ours: { ...redis, metrics }, embedded };
  },
};

async function measure(stage: Stage, { settings }: RedisContext): Promise<Measurement> {
  await stage.open('unicast');
  await stage.publishers.startPaced(settings.perSecond);
  await sleep(settings.warmupMs);
  await stage.streams.sampleLatency(1);
  await stage.publishers.resetLatency();
  const window = await stage.window(settings.durationMs);
  const delivery = (await stage.streams.latency()).summary();
  const ack = (await stage.publishers.latency()).summary();
  const integrity = await stage.finish();
  return {
    metrics: {
      p50Ms: delivery.p50Ms,
      p99Ms: delivery.p99Ms,
      ackP50Ms: ack.p50Ms,
      ackP99Ms: ack.p99Ms,
      cpuUs: window.serverCpuUs / window.published,
    },
    integrity,
    notes: errorNotes(integrity.firstError),
  };
}
