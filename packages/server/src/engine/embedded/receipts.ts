/**
 * Remembers the answers to publishes whose id the publisher chose, so that a repeat is answered with the first result.
 * They are bounded by time and by count, and the oldest go first.
 */
import type { Place } from '../../core/message.ts';
import type { StoredReceipt } from './store/store-protocol.ts';

export interface RememberedReceipt {
  readonly fingerprint: string;
  readonly places: readonly Place[];
  readonly timeMs: number;
}

export class Receipts {
  readonly #ttlMs: number;
  readonly #maxKeys: number;
  /** In order of time, because a Map keeps the order of insertion. */
  readonly #byId = new Map<string, RememberedReceipt>();
  /** Number of receipts that were evicted before their time, because there were more than `maxKeys`. */
  evicted = 0;

  constructor(options: { ttlMs: number; maxKeys: number }) {
    this.#ttlMs = options.ttlMs;
    this.#maxKeys = options.maxKeys;
  }

  get size(): number {
    return this.#byId.size;
  }

  load(stored: readonly StoredReceipt[]): void {
    for (const r of stored) {
      this.remember(r.id, {
        fingerprint: r.fingerprint,
        places: JSON.parse(r.places) as Place[],
        timeMs: r.timeMs,
      });
    }
  }

  find(id: string, nowMs: number): RememberedReceipt | undefined {
    const receipt = this.#byId.get(id);
    return receipt !== undefined && receipt.timeMs > nowMs - this.#ttlMs ? receipt : undefined;
  }

  remember(id: string, receipt: RememberedReceipt): void {
    this.#byId.delete(id);
    this.#byId.set(id, receipt);
    if (this.#byId.size > this.#maxKeys) {
      for (const oldest of this.#byId.keys()) {
        this.#byId.delete(oldest);
        this.evicted++;
        break;
      }
    }
  }

  /** Forgets receipts that are too old, at most `limit` of them. */
  sweep(nowMs: number, limit: number): void {
    let looked = 0;
    for (const [id, receipt] of this.#byId) {
      if (receipt.timeMs > nowMs - this.#ttlMs || ++looked > limit) return;
      this.#byId.delete(id);
    }
  }
}
