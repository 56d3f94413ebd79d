/**
 * All streams are cut and reconnect at the same moment, as after the restart of a proxy. Each has received one message
 * and returns with its `Last-Event-ID`, as browsers do; it must then get the next message, and not the first one again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Scenario } from './scenario.ts';
import { onStage } from './stage.ts';

/** Time after the last stream is open in which the server still cleans up. */
const AFTERMATH_MS = 1000;

export const reconnectStorm: Scenario = {
  name: 'reconnect-storm',
  title: 'Reconnect storm',
  describe: (s) =>
    `${s.streams} streams dropped and reconnected at once, ${s.resumes ? 'with' : 'without'} Last-Event-ID`,
  defaults: { streams: 10_000, publishers: 16, settleMs: 2000 },
  metrics: [
    {
      key: 'cpuUsPerReconnect',
      label: 'CPU per reconnect',
      unit: 'µs',
      better: 'lower',
      digits: 0,
      isCharted: true,
      goals: { nchan: 2.5 },
    },
    {
      key: 'completeMs',
      label: 'until all are back',
      unit: 'ms',
      better: 'lower',
      digits: 0,
      isCharted: true,
    },
    { key: 'failedStreams', label: 'streams that did not come back', unit: '', better: 'lower', digits: 0 },
  ],

  run: (context) =>
    onStage(context, async (stage) => {
      const { streams, settleMs, resumes } = context.settings;
      await stage.open('unicast', { keepsIds: true });
      await stage.publishers.publishEach();
      await stage.untilReceived(streams);
      await sleep(settleMs);
      const beforeUs = stage.cpuUs();
      const opened = await stage.streams.reconnect(resumes);
      await sleep(AFTERMATH_MS);
      const cpuUs = stage.cpuUs() - beforeUs;
      await stage.publishers.publishEach();
      const integrity = await stage.finish();
      return {
        metrics: {
          cpuUsPerReconnect: cpuUs / streams,
          completeMs: opened.ms,
          failedStreams: opened.failed,
        },
        integrity,
        notes: [],
      };
    }),
};
