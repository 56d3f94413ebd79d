/**
 * How far this node has acknowledged each channel lately, on every run of a server. After a failover or a restart
 * it is held against the new server's logs: what was acknowledged and is not there is announced to the channel's
 * streams. What was acknowledged on a new run does not take the place of what is still to be compared.
 */

export interface Acknowledged {
  readonly channel: string;
  readonly runId: string;
  readonly epoch: string;
  readonly offset: number;
  readonly atMs: number;
}

/** Failovers take seconds; replicas lag less. */
const KEEP_MS = 300_000;
const MAX_POSITIONS = 200_000;

const keyOf = (runId: string, channel: string): string => `${runId} ${channel}`;

export class AcknowledgedPositions {
  /** In the order of the last acknowledgement. */
  readonly #positions = new Map<string, Acknowledged>();

  note(position: Acknowledged): void {
    const key = keyOf(position.runId, position.channel);
    const known = this.#positions.get(key);
    // Answers of two calls may come in any order.
    if (known !== undefined && known.epoch === position.epoch && known.offset > position.offset) return;
    this.#positions.delete(key);
    this.#positions.set(key, position);
    if (this.#positions.size > MAX_POSITIONS) this.#dropOldest();
  }

  sweep(nowMs: number): void {
    for (const [key, { atMs }] of this.#positions) {
      if (atMs > nowMs - KEEP_MS) break;
      this.#positions.delete(key);
    }
  }

  /** Those of other runs than `runId`, among the channels that `isConcerned`. */
  ofOtherRuns(runId: string, isConcerned: (channel: string) => boolean): Acknowledged[] {
    return [...this.#positions.values()].filter(
      (position) => position.runId !== runId && isConcerned(position.channel),
    );
  }

  forget(position: Acknowledged): void {
    const key = keyOf(position.runId, position.channel);
    if (this.#positions.get(key) === position) this.#positions.delete(key);
  }

  #dropOldest(): void {
    const oldest = this.#positions.keys().next();
    if (!oldest.done) this.#positions.delete(oldest.value);
  }
}
