/** All stream workers of a measurement as one: streams are split into equal ranges, results are merged. */
import { fileURLToPath } from 'node:url';
import { readFileLimit } from '../proc.ts';
import type { Mismatch } from './event-counter.ts';
import { LatencyHistogram } from './latency-histogram.ts';
import { type Crew, Worker } from './rpc.ts';
import type { Expectation, Opened, OpenStreams, StreamApi, StreamSnapshot } from './stream-worker.ts';

export type StreamLoadOptions = Omit<OpenStreams, 'first'>;

const MODULE_PATH = fileURLToPath(new URL('./stream-worker.js', import.meta.url));
/** Files that a worker opens in addition to its streams. */
const SPARE_FILES = 200;

export class StreamLoad {
  readonly #workers: Worker<StreamApi>[];
  readonly #options: StreamLoadOptions;

  constructor(options: StreamLoadOptions, crew: Crew) {
    const needed = Math.ceil(options.count / Math.max(1, readFileLimit() - SPARE_FILES));
    const count = Math.max(1, Math.min(options.count, Math.max(crew.workers, needed)));
    this.#options = options;
    this.#workers = Array.from(
      { length: count },
      () => new Worker<StreamApi>({ modulePath: MODULE_PATH, cores: crew.cores }),
    );
  }

  /** Opens every stream; rejects when one cannot be opened, since a measurement with fewer would look too good. */
  async open(): Promise<Opened> {
    const share = Math.ceil(this.#options.count / this.#workers.length);
    const results = await Promise.all(
      this.#workers.map((worker, i) => {
        const first = i * share;
        const count = Math.max(0, Math.min(share, this.#options.count - first));
        return worker.call('open', { ...this.#options, first, count });
      }),
    );
    return this.#requireAll(mergeOpened(results));
  }

  async reconnect(resumes: boolean): Promise<Opened> {
    const results = await Promise.all(this.#workers.map((worker) => worker.call('reconnect', { resumes })));
    return mergeOpened(results);
  }

  async snapshot(): Promise<StreamSnapshot> {
    const all = await Promise.all(this.#workers.map((worker) => worker.call('snapshot', undefined)));
    const sum = (field: keyof StreamSnapshot) => all.reduce((total, one) => total + one[field], 0);
    return {
      atUs: sum('atUs') / all.length,
      messages: sum('messages'),
      bytes: sum('bytes'),
      otherEvents: sum('otherEvents'),
      gaps: sum('gaps'),
      broken: sum('broken'),
      cpuUs: sum('cpuUs'),
    };
  }

  async sampleLatency(sampleEvery: number): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.call('sampleLatency', { sampleEvery })));
  }

  async latency(): Promise<LatencyHistogram> {
    const all = await Promise.all(this.#workers.map((worker) => worker.call('latencyCounts', undefined)));
    const merged = new LatencyHistogram();
    for (const counts of all) merged.add(counts);
    return merged;
  }

  async compare(expected: Expectation): Promise<Mismatch> {
    const all = await Promise.all(this.#workers.map((worker) => worker.call('compare', expected)));
    return {
      missing: all.reduce((sum, one) => sum + one.missing, 0),
      repeated: all.reduce((sum, one) => sum + one.repeated, 0),
    };
  }

  async slowDown(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.call('slowDown', undefined)));
  }

  async speedUp(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.call('speedUp', undefined)));
  }

  async stop(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.stop()));
  }

  #requireAll(opened: Opened): Opened {
    if (opened.failed > 0) {
      throw new Error(`${opened.failed} of ${this.#options.count} streams could not be opened`);
    }
    return opened;
  }
}

function mergeOpened(results: readonly Opened[]): Opened {
  return {
    open: results.reduce((sum, one) => sum + one.open, 0),
    failed: results.reduce((sum, one) => sum + one.failed, 0),
    ms: Math.max(...results.map((one) => one.ms)),
  };
}
