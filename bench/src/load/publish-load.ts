/** All publisher workers of a measurement as one. */
import { fileURLToPath } from 'node:url';
import { LatencyHistogram } from './latency-histogram.ts';
import type { OpenPublishers, PublishApi, Published, PublishSnapshot } from './publish-worker.ts';
import { type Crew, Worker } from './rpc.ts';

export type PublishLoadOptions = Omit<OpenPublishers, 'first' | 'count'>;

const MODULE_PATH = fileURLToPath(new URL('./publish-worker.js', import.meta.url));

export class PublishLoad {
  readonly #workers: Worker<PublishApi>[];
  readonly #options: PublishLoadOptions;

  constructor(options: PublishLoadOptions, crew: Crew) {
    this.#options = options;
    this.#workers = Array.from(
      { length: Math.max(1, Math.min(crew.workers, options.total)) },
      () => new Worker<PublishApi>({ modulePath: MODULE_PATH, cores: crew.cores }),
    );
  }

  async open(): Promise<void> {
    const share = Math.ceil(this.#options.total / this.#workers.length);
    await Promise.all(
      this.#workers.map((worker, i) => {
        const first = i * share;
        const count = Math.max(0, Math.min(share, this.#options.total - first));
        return worker.call('open', { ...this.#options, first, count });
      }),
    );
  }

  async startFull(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.call('startFull', undefined)));
  }

  /** Starts publishing at a rate, by the first worker only: a few dozen requests a second need no second one. */
  async startPaced(perSecond: number): Promise<void> {
    await this.#workers[0]?.call('startPaced', { perSecond });
  }

  async publishEach(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.call('publishEach', undefined)));
  }

  /** Stops, and resolves with everything that was accepted since `open`. */
  async finish(): Promise<Published> {
    const all = await Promise.all(this.#workers.map((worker) => worker.call('stop', undefined)));
    const { total, targets } = this.#options;
    const sum = (length: number, pick: (one: Published) => Int32Array) =>
      Int32Array.from({ length }, (_, i) => all.reduce((acc, one) => acc + (pick(one)[i] ?? 0), 0));
    return {
      perLane: sum(total, (one) => one.perLane),
      perStream: sum(targets, (one) => one.perStream),
      firstError: all.find((one) => one.firstError !== undefined)?.firstError,
    };
  }

  async snapshot(): Promise<PublishSnapshot> {
    const all = await Promise.all(this.#workers.map((worker) => worker.call('snapshot', undefined)));
    const sum = (field: keyof PublishSnapshot) => all.reduce((acc, one) => acc + one[field], 0);
    return {
      atUs: sum('atUs') / all.length,
      published: sum('published'),
      requests: sum('requests'),
      failed: sum('failed'),
      late: sum('late'),
      cpuUs: sum('cpuUs'),
    };
  }

  async resetLatency(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.call('resetLatency', undefined)));
  }

  async latency(): Promise<LatencyHistogram> {
    const merged = new LatencyHistogram();
    const all = await Promise.all(this.#workers.map((worker) => worker.call('latencyCounts', undefined)));
    for (const counts of all) merged.add(counts);
    return merged;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.stop()));
  }
}
