/**
 * How far this node has acknowledged each channel lately, and on which run of a server. After a failover or a
 * restart it is held against the new server's logs: what was acknowledged and is not there is announced to the channel's streams.
 */

export interface Acknowledged {
  readonly epoch: string;
  readonly offset: number;
  readonly runId: string;
  readonly atMs: number;
}

/** Failovers take seconds; replicas lag less. */
const KEEP_MS = 300_000;
const MAX_CHANNELS = 200_000;

export class AcknowledgedPositions {
  /** In the order of the last acknowledgement. */
  readonly #positions = new Map<string, Acknowledged>();

  note(channel: string, epoch: string, offset: number, runId: string, nowMs: number): void {
    const known = this.#positions.get(channel);
    // Answers of two calls may come in any order.
    if (known !== undefined && known.epoch === epoch && known.offset > offset) return;
    this.#positions.delete(channel);
    this.#positions.set(channel, { epoch, offset, runId, atMs: nowMs });
    if (this.#positions.size > MAX_CHANNELS) this.#dropOldest();
  }

  sweep(nowMs: number): void {
    for (const [channel, { atMs }] of this.#positions) {
      if (atMs > nowMs - KEEP_MS) break;
      this.#positions.delete(channel);
    }
  }

  /** Those of other runs than `runId`, among the channels that `isConcerned`. */
  *ofOtherRuns(runId: string, isConcerned: (channel: string) => boolean): Generator<[string, Acknowledged]> {
    for (const entry of this.#positions) {
      if (entry[1].runId !== runId && isConcerned(entry[0])) yield entry;
    }
  }

  forget(channel: string, position: Acknowledged): void {
    if (this.#positions.get(channel) === position) this.#positions.delete(channel);
  }

  #dropOldest(): void {
    const oldest = this.#positions.keys().next();
    if (!oldest.done) this.#positions.delete(oldest.value);
  }
}
