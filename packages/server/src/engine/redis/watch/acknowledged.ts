/**
 * How far this node has acknowledged each channel lately, by the run of the server. After a failover or a restart
 * these positions are compared with the new server's logs. Positions of the new run do not replace those that are
 * still to be compared.
 */

export interface Acknowledged {
  readonly channel: string;
  readonly runId: string;
  readonly epoch: string;
  readonly offset: number;
}

interface Place {
  epoch: string;
  offset: number;
}

/** By the run of a server, then by channel. */
type Generation = Map<string, Map<string, Place>>;

/** Failovers take seconds, and replicas lag by less. */
const KEEP_MS = 300_000;
/** Bound of one generation. When it is full, the older one is forgotten before its time. */
const MAX_POSITIONS = 100_000;

export class AcknowledgedPositions {
  /** Two generations, so that nothing has to be sorted by age: the older one is forgotten as a whole. */
  #recent: Generation = new Map();
  #older: Generation = new Map();
  #size = 0;
  /** About when the recent generation began. */
  #sinceMs: number | undefined;

  note(runId: string, channel: string, epoch: string, offset: number): void {
    let places = this.#recent.get(runId);
    if (places === undefined) {
      places = new Map();
      this.#recent.set(runId, places);
    }
    const known = places.get(channel);
    if (known === undefined) {
      places.set(channel, { epoch, offset });
      if (++this.#size >= MAX_POSITIONS) this.#turnOver();
    } else if (known.epoch !== epoch) {
      known.epoch = epoch;
      known.offset = offset;
    } else if (offset > known.offset) {
      // Answers of two calls may arrive in any order.
      known.offset = offset;
    }
  }

  /** Called from time to time. What was noted is kept for at least `KEEP_MS`, and at most twice as long. */
  sweep(nowMs: number): void {
    this.#sinceMs ??= nowMs;
    if (nowMs - this.#sinceMs < KEEP_MS) return;
    this.#turnOver();
    this.#sinceMs = nowMs;
  }

  #turnOver(): void {
    this.#older = this.#recent;
    this.#recent = new Map();
    this.#size = 0;
    this.#sinceMs = undefined;
  }

  /** Positions on other runs than `runId`, of channels that `isConcerned`. */
  ofOtherRuns(runId: string, isConcerned: (channel: string) => boolean): Acknowledged[] {
    const found = new Map<string, Acknowledged>();
    for (const generation of [this.#older, this.#recent]) {
      for (const [run, places] of generation) {
        if (run === runId) continue;
        for (const [channel, { epoch, offset }] of places) {
          if (!isConcerned(channel)) continue;
          const key = `${run} ${channel}`;
          const known = found.get(key);
          if (known !== undefined && known.epoch === epoch && known.offset > offset) continue;
          found.set(key, { channel, runId: run, epoch, offset });
        }
      }
    }
    return [...found.values()];
  }

  /** This position has been reported. A later one of its channel is still to be. */
  forget({ runId, channel, epoch, offset }: Acknowledged): void {
    for (const generation of [this.#older, this.#recent]) {
      const places = generation.get(runId);
      const place = places?.get(channel);
      if (place?.epoch === epoch && place.offset <= offset) places?.delete(channel);
    }
  }
}
