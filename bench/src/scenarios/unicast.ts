/** Each message to one of many streams, in its own POST; and, if the server has batches, many in one POST. */
import { setTimeout as sleep } from 'node:timers/promises';
import { errorNotes } from './broadcast.ts';
import { type Context, type Measurement, mergeIntegrity, type Scenario } from './scenario.ts';
import { loadNotes, onStage } from './stage.ts';

export const unicast: Scenario = {
  name: 'unicast',
  title: 'Unicast',
  describe: (s) =>
    `${s.streams} streams; ${s.publishers} connections publish to random ones, one message per POST, ` +
    `and ${s.batchSize} per POST where the server has batches`,
  defaults: { streams: 10_000, publishers: 64, durationMs: 10_000 },
  metrics: [
    {
      key: 'publishesPerSecond',
      label: 'publishes a second, single',
      unit: '1/s',
      better: 'higher',
      digits: 0,
      isCharted: true,
      goals: { nchan: 0.4 },
    },
    {
      key: 'cpuUsPerPublish',
      label: 'CPU per publish, single',
      unit: 'µs',
      better: 'lower',
      digits: 1,
      isCharted: true,
    },
    { key: 'ackP99Ms', label: 'POST to answer, p99', unit: 'ms', better: 'lower', digits: 2 },
    { key: 'deliveryP99Ms', label: 'publish to arrival, p99', unit: 'ms', better: 'lower', digits: 2 },
    { key: 'serverBusy', label: 'server core busy', unit: 'share', better: 'higher', digits: 2 },
    {
      key: 'batchPublishesPerSecond',
      label: 'publishes a second, batches',
      unit: '1/s',
      better: 'higher',
      digits: 0,
      isCharted: true,
      goals: { nchan: 1 },
      comparedWith: 'publishesPerSecond',
    },
    {
      key: 'batchCpuUsPerPublish',
      label: 'CPU per publish, batches',
      unit: 'µs',
      better: 'lower',
      digits: 1,
      comparedWith: 'cpuUsPerPublish',
    },
    {
      key: 'batchServerBusy',
      label: 'server core busy, batches',
      unit: 'share',
      better: 'higher',
      digits: 2,
    },
  ],

  run: async (context) => {
    const single = await runFull(context, 'unicast');
    if (context.peer.request('batch', 0, 1) === undefined) return single;
    const batch = await runFull(context, 'batch');
    const { publishesPerSecond = 0, cpuUsPerPublish = 0, serverBusy = 0 } = batch.metrics;
    return {
      metrics: {
        ...single.metrics,
        batchPublishesPerSecond: publishesPerSecond,
        batchCpuUsPerPublish: cpuUsPerPublish,
        batchServerBusy: serverBusy,
      },
      integrity: mergeIntegrity([single.integrity, batch.integrity]),
      notes: [...single.notes, ...batch.notes.map((note) => `batches: ${note}`)],
    };
  },
};

function runFull(context: Context, kind: 'unicast' | 'batch'): Promise<Measurement> {
  const { settings } = context;
  return onStage(context, async (stage) => {
    await stage.open(kind);
    await stage.publishers.startFull();
    await sleep(settings.warmupMs);
    await stage.streams.sampleLatency(1);
    await stage.publishers.resetLatency();
    const window = await stage.window(settings.durationMs);
    const delivery = (await stage.streams.latency()).summary();
    const ack = (await stage.publishers.latency()).summary();
    const integrity = await stage.finish();
    return {
      metrics: {
        publishesPerSecond: window.published / window.seconds,
        cpuUsPerPublish: window.serverCpuUs / window.published,
        ackP99Ms: ack.p99Ms,
        deliveryP99Ms: delivery.p99Ms,
        serverBusy: window.serverBusy,
      },
      integrity,
      notes: [...loadNotes(window), ...errorNotes(integrity.firstError)],
    };
  });
}
