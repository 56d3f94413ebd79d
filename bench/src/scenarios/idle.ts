/**
 * The memory cost of an idle stream. A few hundred streams come and go first, so that code that is compiled or loaded
 * once is not counted as memory of the streams.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Scenario } from './scenario.ts';
import { onStage } from './stage.ts';

const REHEARSAL_STREAMS = 200;

export const idle: Scenario = {
  name: 'idle',
  title: 'Idle streams',
  describe: (s) =>
    `${s.streams} streams, each with a channel of its own, memory after ${s.settleMs / 1000} s of rest`,
  defaults: { streams: 10_000, publishers: 1, settleMs: 10_000 },
  metrics: [
    {
      key: 'rssBytesPerStream',
      label: 'resident memory per stream',
      unit: 'bytes',
      better: 'lower',
      digits: 0,
      isCharted: true,
      goals: { nchan: 0.75 },
    },
    {
      key: 'pssBytesPerStream',
      label: 'the same, shared pages once',
      unit: 'bytes',
      better: 'lower',
      digits: 0,
    },
    { key: 'rssMbBefore', label: 'resident memory without streams', unit: 'MB', better: 'lower', digits: 1 },
    { key: 'cpuUsPerConnect', label: 'CPU per connect', unit: 'µs', better: 'lower', digits: 0 },
    { key: 'cpuMsPerSecond', label: 'CPU at rest', unit: 'ms/s', better: 'lower', digits: 1 },
  ],

  run: (context) =>
    onStage(context, async (stage) => {
      const { streams, settleMs } = context.settings;
      await stage.open('unicast', { count: Math.min(REHEARSAL_STREAMS, streams) });
      await stage.closeLoad();
      await sleep(settleMs);
      const before = stage.usage();
      await stage.open('unicast');
      const opened = stage.usage();
      await sleep(settleMs);
      const after = stage.usage();
      const { broken } = await stage.streams.snapshot();
      // One message to each stream at the end shows that all of them are alive.
      await stage.publishers.publishEach();
      const integrity = await stage.finish();
      return {
        metrics: {
          rssBytesPerStream: (after.rssBytes - before.rssBytes) / streams,
          pssBytesPerStream: (after.pssBytes - before.pssBytes) / streams,
          rssMbBefore: before.rssBytes / 2 ** 20,
          cpuUsPerConnect: (opened.cpuUs - before.cpuUs) / streams,
          cpuMsPerSecond: (after.cpuUs - opened.cpuUs) / settleMs,
        },
        integrity,
        notes: broken > 0 ? [`${broken} streams broke while idle`] : [],
      };
    }),
};
