/** All worker processes with engines as one: nodes are split into equal ranges. */
import { fileURLToPath } from 'node:url';
import type { ChannelRange, EngineApi, EngineSnapshot, OpenEngines, PublishPlan } from './engine-worker.ts';
import { type Crew, Worker } from './rpc.ts';

const MODULE_PATH = fileURLToPath(new URL('./engine-worker.js', import.meta.url));
/** Timeout for calls that handle the channels of 100 nodes on one core. */
const LONG_MS = 600_000;

export class FleetLoad {
  readonly #workers: Worker<EngineApi>[];

  private constructor(workers: Worker<EngineApi>[]) {
    this.#workers = workers;
  }

  /** Opens `count` nodes in `crew.workers` processes. The caller must stop them. */
  static async open(
    options: Omit<OpenEngines, 'first'>,
    crew: Crew,
    use: (fleet: FleetLoad) => Promise<void>,
  ): Promise<void> {
    const share = Math.ceil(options.count / Math.min(crew.workers, options.count));
    const workers: Worker<EngineApi>[] = [];
    try {
      for (let first = 0; first < options.count; first += share) {
        const worker = new Worker<EngineApi>({ modulePath: MODULE_PATH, cores: crew.cores });
        workers.push(worker);
        await worker.call('open', { ...options, first, count: Math.min(share, options.count - first) });
      }
      await use(new FleetLoad(workers));
    } finally {
      await Promise.all(workers.map((worker) => worker.stop()));
    }
  }

  async watchOwn(range: ChannelRange): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.call('watchOwn', range, LONG_MS)));
  }

  async watchShared(range: ChannelRange): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.call('watchShared', range, LONG_MS)));
  }

  /** Starts publishing. A paced rate is divided among the processes. */
  async start(plan: PublishPlan): Promise<void> {
    const perSecond = plan.perSecond === undefined ? undefined : plan.perSecond / this.#workers.length;
    await Promise.all(this.#workers.map((worker) => worker.call('start', { ...plan, perSecond })));
  }

  async stopPublishing(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.call('stop', undefined)));
  }

  async fill(plan: Parameters<EngineApi['fill']>[0]): Promise<void> {
    await this.#workers[0]?.call('fill', plan, LONG_MS);
  }

  async snapshot(): Promise<EngineSnapshot> {
    const all = await Promise.all(this.#workers.map((worker) => worker.call('snapshot', undefined)));
    const sum = (field: keyof EngineSnapshot) => all.reduce((total, one) => total + one[field], 0);
    return {
      atUs: sum('atUs') / all.length,
      published: sum('published'),
      received: sum('received'),
      holes: sum('holes'),
      cpuUs: sum('cpuUs'),
    };
  }
}
