/**
 * Some streams read far less than they are sent. Measures the effect on the latency of the others and on the server's
 * memory, and checks that the slow ones, once they read at full speed again, get every message once and in order.
 *
 * The contents of the kernel's send buffers are shown too (Linux lets one grow to 4 MB): until a buffer is full, the
 * server cannot know that the stream is slow, and its own memory does not grow.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { errorNotes } from './broadcast.ts';
import { type Context, type Integrity, mergeIntegrity, type Scenario } from './scenario.ts';
import { onStage, type Stage } from './stage.ts';

/** Memory that the service may hold for 100 slow streams (MAX_OUTBOX_BYTES each). */
const ADDED_LIMIT_MB = (100 * 65_536) / 2 ** 20;
const MEMORY_INTERVAL_MS = 1000;

export const slowReaders: Scenario = {
  name: 'slow-readers',
  title: 'Slow readers',
  describe: (s) =>
    `${s.slowStreams} of ${s.streams} streams read ${s.slowReadBytes} bytes a second while ${s.perSecond} broadcasts of ` +
    `${s.messageBytes} bytes go out each second for ${s.durationMs / 1000} s; and the same without slow ones`,
  defaults: {
    streams: 1000,
    publishers: 4,
    perSecond: 20,
    messageBytes: 1024,
    durationMs: 60_000,
    slowStreams: 100,
    slowReadBytes: 1024,
  },
  metrics: [
    { key: 'p99MsWithout', label: "others' p99 without slow ones", unit: 'ms', better: 'lower', digits: 2 },
    {
      key: 'p99MsWith',
      label: "others' p99 with slow ones",
      unit: 'ms',
      better: 'lower',
      digits: 2,
      isCharted: true,
    },
    { key: 'p99Ratio', label: 'with ÷ without', unit: '×', better: 'lower', digits: 2, limit: 1.5 },
    {
      key: 'growthMb',
      label: "server's memory growth with slow ones",
      unit: 'MB',
      better: 'lower',
      digits: 1,
      isCharted: true,
    },
    { key: 'growthMbWithout', label: 'the same without', unit: 'MB', better: 'lower', digits: 1 },
    {
      key: 'addedMb',
      label: 'growth that the slow ones add',
      unit: 'MB',
      better: 'lower',
      digits: 1,
      limit: ADDED_LIMIT_MB,
    },
    {
      key: 'kernelMb',
      label: "in the kernel's send buffers at the end",
      unit: 'MB',
      better: 'lower',
      digits: 1,
    },
    { key: 'catchUpMs', label: 'until the slow ones have caught up', unit: 'ms', better: 'lower', digits: 0 },
  ],

  run: async (context) => {
    const without = await runPhase(context, false);
    const withSlow = await runPhase(context, true);
    return {
      metrics: {
        p99MsWithout: without.p99Ms,
        p99MsWith: withSlow.p99Ms,
        p99Ratio: withSlow.p99Ms / without.p99Ms,
        growthMb: withSlow.growthBytes / 2 ** 20,
        growthMbWithout: without.growthBytes / 2 ** 20,
        addedMb: (withSlow.growthBytes - without.growthBytes) / 2 ** 20,
        kernelMb: withSlow.kernelBytes / 2 ** 20,
        catchUpMs: withSlow.catchUpMs,
      },
      integrity: mergeIntegrity([without.integrity, withSlow.integrity]),
      notes: [...without.notes, ...withSlow.notes],
    };
  },
};

interface Phase {
  readonly p99Ms: number;
  readonly growthBytes: number;
  readonly kernelBytes: number;
  readonly catchUpMs: number;
  readonly integrity: Integrity;
  readonly notes: readonly string[];
}

function runPhase(context: Context, hasSlow: boolean): Promise<Phase> {
  const { settings } = context;
  return onStage(context, async (stage) => {
    // The same streams are excluded from the latencies in both phases.
    await stage.open('broadcast', { slow: settings.slowStreams });
    await stage.publishers.startPaced(settings.perSecond);
    await sleep(settings.warmupMs);
    if (hasSlow) await stage.streams.slowDown();
    await stage.streams.sampleLatency(1);
    const growthBytes = await watchMemory(stage, settings.durationMs);
    const latency = (await stage.streams.latency()).summary();
    const kernelBytes = stage.unsentBytes();
    const behind = await stage.streams.snapshot();
    const start = performance.now();
    await stage.publishers.finish();
    if (hasSlow) await stage.streams.speedUp();
    const integrity = await stage.finish();
    const catchUpMs = performance.now() - start;
    return {
      p99Ms: latency.p99Ms,
      growthBytes,
      kernelBytes,
      catchUpMs,
      integrity,
      notes: [
        ...(hasSlow ? [`the slow ones caught up with ${integrity.received - behind.messages} messages`] : []),
        ...errorNotes(integrity.firstError),
      ],
    };
  });
}

/** Resolves with the growth from now to the highest resident memory within `durationMs`. */
async function watchMemory(stage: Stage, durationMs: number): Promise<number> {
  const before = stage.usage().rssBytes;
  const end = performance.now() + durationMs;
  let highest = before;
  while (performance.now() < end) {
    await sleep(Math.min(MEMORY_INTERVAL_MS, Math.max(0, end - performance.now())));
    highest = Math.max(highest, stage.usage().rssBytes);
  }
  return highest - before;
}
