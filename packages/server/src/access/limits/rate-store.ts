/**
 * Where counters of limits are kept. In memory: bounded, at once, of this process alone. Shared: by a call to a store
 * that all nodes use, which is spared what is known to be refused, and stood in for while it is away.
 */
import { BoundedCache } from '../bounded-cache.ts';
import { type RateAnswer, type RateLimit, type RateWindow, takeFrom } from './rate-window.ts';

export interface RateStore {
  /** Counts `cost` for `key` when it is allowed. A key has one limit. Must not reject. */
  take(key: string, limit: RateLimit, cost: number): RateAnswer | Promise<RateAnswer>;
}

/** About 150 bytes each. When more clients are active, the counters of those that were away longest are forgotten. */
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
  /** One atomic step of the shared store, with the arithmetic of `rate-window.ts`. */
  readonly call: (key: string, limit: RateLimit, cost: number) => Promise<RateAnswer>;
  readonly now: () => number;
  /** The shared store failed: this process counts for itself meanwhile. Told at most once a second. */
  readonly onError: (error: Error) => void;
}

const MAX_REFUSED = 20_000;
const TELL_MS = 1000;

export class SharedRateStore implements RateStore {
  readonly #options: SharedRateStoreOptions;
  /** Clients that have used up their windows, and until when: a flood is not passed on to the store. */
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
      // Where something is left, a request that costs less may still pass.
      if (!answer.isAllowed && answer.remaining === 0) {
        this.#refused.set(key, now() + answer.resetMs, answer.resetMs);
      }
      return answer;
    } catch (error) {
      // To refuse everybody because counters are away would be the worse failure.
      if (now() - this.#toldAtMs >= TELL_MS) {
        this.#toldAtMs = now();
        onError(error as Error);
      }
      return this.#substitute.take(key, limit, cost);
    }
  }
}
