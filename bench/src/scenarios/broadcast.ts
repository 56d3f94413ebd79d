/** One message to all streams: the cost of a delivery at a fixed rate, and the highest rate of deliveries. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Context, type Measurement, mergeIntegrity, type Scenario } from './scenario.ts';
import { loadNotes, onStage } from './stage.ts';

/** At full load only one delivery in this many is timed, so that timing does not slow down the load. */
const FULL_SAMPLE_EVERY = 16;

export const broadcast: Scenario = {
  name: 'broadcast',
  title: 'Broadcast',
  describe: (s) =>
    `${s.streams} streams; ${s.perSecond} publications a second (${s.streams * s.perSecond} deliveries a second), ` +
    `then as many as ${s.publishers} publishers can send`,
  defaults: { streams: 1000, publishers: 16, perSecond: 50, durationMs: 10_000 },
  metrics: [
    {
      key: 'cpuUsPerDelivery',
      label: 'CPU per delivery, paced',
      unit: 'µs',
      better: 'lower',
      digits: 2,
      isCharted: true,
      goals: { nchan: 0.85, plain: 0.7 },
    },
    { key: 'pacedP50Ms', label: 'publish to arrival, paced, p50', unit: 'ms', better: 'lower', digits: 2 },
    { key: 'pacedP99Ms', label: 'publish to arrival, paced, p99', unit: 'ms', better: 'lower', digits: 2 },
    {
      key: 'deliveriesPerSecond',
      label: 'deliveries a second, full load',
      unit: '1/s',
      better: 'higher',
      digits: 0,
      isCharted: true,
      goals: { nchan: 3 },
    },
    { key: 'fullP99Ms', label: 'publish to arrival, full load, p99', unit: 'ms', better: 'lower', digits: 2 },
    {
      key: 'fullCpuUsPerDelivery',
      label: 'CPU per delivery, full load',
      unit: 'µs',
      better: 'lower',
      digits: 2,
    },
    {
      key: 'fullServerBusy',
      label: 'server core busy, full load',
      unit: 'share',
      better: 'higher',
      digits: 2,
    },
  ],

  run: async (context) => {
    const paced = await runPaced(context);
    const full = await runFull(context);
    return {
      metrics: { ...paced.metrics, ...full.metrics },
      integrity: mergeIntegrity([paced.integrity, full.integrity]),
      notes: [...paced.notes, ...full.notes],
    };
  },
};

function runPaced(context: Context): Promise<Measurement> {
  const { settings } = context;
  return onStage(context, async (stage) => {
    await stage.open('broadcast');
    await stage.publishers.startPaced(settings.perSecond);
    await sleep(settings.warmupMs);
    await stage.streams.sampleLatency(1);
    const window = await stage.window(settings.durationMs);
    const latency = (await stage.streams.latency()).summary();
    const integrity = await stage.finish();
    return {
      metrics: {
        cpuUsPerDelivery: window.serverCpuUs / window.deliveries,
        pacedP50Ms: latency.p50Ms,
        pacedP99Ms: latency.p99Ms,
      },
      integrity,
      notes: [
        ...(window.lateMs > 0 ? [`the pace was held up for ${window.lateMs} ms`] : []),
        ...errorNotes(integrity.firstError),
      ],
    };
  });
}

function runFull(context: Context): Promise<Measurement> {
  const { settings } = context;
  return onStage(context, async (stage) => {
    await stage.open('broadcast');
    await stage.publishers.startFull();
    await sleep(settings.warmupMs);
    await stage.streams.sampleLatency(FULL_SAMPLE_EVERY);
    const window = await stage.window(settings.durationMs);
    const latency = (await stage.streams.latency()).summary();
    const integrity = await stage.finish();
    return {
      metrics: {
        deliveriesPerSecond: window.deliveries / window.seconds,
        fullP99Ms: latency.p99Ms,
        fullCpuUsPerDelivery: window.serverCpuUs / window.deliveries,
        fullServerBusy: window.serverBusy,
      },
      integrity,
      notes: [...loadNotes(window), ...errorNotes(integrity.firstError)],
    };
  });
}

export function errorNotes(firstError: string | undefined): string[] {
  return firstError === undefined ? [] : [`a publish failed: ${firstError}`];
}
