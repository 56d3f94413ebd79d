/**
 * Where the counters of rate limits are kept. The memory store is bounded, synchronous and private to this process. The
 * shared store asks a store that all nodes use; it answers known refusals itself and falls back to memory while that
 * store is unreachable.
 */
import { BoundedCache } from '../bounded-cache.ts';
import { type RateAnswer, type RateLimit, type RateWindow, takeFrom } from './rate-window.ts';

export interface RateStore {
  /** Counts `cost` for `key` if the limit allows it. A key always has the same limit. Must not reject. */
  take(key: string, limit: RateLimit, cost: number): RateAnswer | Promise<RateAnswer>;
}

/** About 150 bytes each. Beyond this number, the counters of the clients idle longest are evicted. */
const MAX_CLIENTS = 200_000;

export class MemoryRateStore implements RateStore {
  readonly #windows: BoundedCache<RateWindow>;
  readonly #now: () => number;

  constructor(now: () => number, maxClients = MAX_CLIENTS) {
    this.#now = now;
    this.#windows = new BoundedCache(maxClients, now);
  }

  take(key: string, limit: RateLimit, cost: number): RateAnswer {
    const { window, answer } = takeFrom(this.#windows.get(key), limit, cost, this.#now());
    this.#windows.set(key, window, answer.resetMs);
    return answer;
  }
}

export interface SharedRateStoreOptions {
  /** One atomic operation of the shared store, with the arithmetic of `rate-window.ts`. */
  readonly call: (key: string, limit: RateLimit, cost: number) => Promise<RateAnswer>;
  readonly now: () => number;
  /** Called at most once a second while the shared store fails and this process counts by itself. */
  readonly onError: (error: Error) => void;
}

const MAX_REFUSED = 20_000;
const TELL_MS = 1000;

export class SharedRateStore implements RateStore {
  readonly #options: SharedRateStoreOptions;
  /** End of the window for each client that has used it up, so that a flood does not reach the shared store. */
  readonly #refused: BoundedCache<number>;
  readonly #substitute: MemoryRateStore;
  #toldAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: SharedRateStoreOptions) {
    this.#options = options;
    this.#refused = new BoundedCache(MAX_REFUSED, options.now);
    this.#substitute = new MemoryRateStore(options.now);
  }

  take(key: string, limit: RateLimit, cost: number): RateAnswer | Promise<RateAnswer> {
    const untilMs = this.#refused.get(key);
    if (untilMs === undefined) return this.#call(key, limit, cost);
    return { isAllowed: false, remaining: 0, resetMs: untilMs - this.#options.now() };
  }

  async #call(key: string, limit: RateLimit, cost: number): Promise<RateAnswer> {
    const { call, now, onError } = this.#options;
    try {
      const answer = await call(key, limit, cost);
      // If something is left, a request that costs less may still pass.
      if (!answer.isAllowed && answer.remaining === 0) {
        this.#refused.set(key, now() + answer.resetMs, answer.resetMs);
      }
      return answer;
    } catch (error) {
      // Refusing everybody because the counters are unreachable would be the worse failure.
      if (now() - this.#toldAtMs >= TELL_MS) {
        this.#toldAtMs = now();
        onError(error as Error);
      }
      return this.#substitute.take(key, limit, cost);
    }
  }
}
