/**
 * One flush for many sessions. Sessions with something to send stand on a dirty list. At the end of a turn those
 * that were quiet for the flush interval are written; the others follow when the interval is over. Light load waits
 * for nothing, heavy load joins many frames into one write.
 */

/** The port from the flusher to a session. */
export interface Flushable {
  readonly outbox: { readonly lastFlushMs: number };
  flush(nowMs: number): void;
}

export class Flusher {
  readonly #intervalMs: number;
  #dirty: Flushable[] = [];
  #isTimerSet = false;
  readonly #onTimer = (): void => {
    this.#isTimerSet = false;
    this.flush();
  };

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  add(session: Flushable): void {
    this.#dirty.push(session);
  }

  flush(): void {
    const sessions = this.#dirty;
    if (sessions.length === 0) return;
    const nowMs = performance.now();
    const dueBefore = nowMs - this.#intervalMs;
    let kept = 0;
    for (let i = 0; i < sessions.length; i++) {
      const session = sessions[i] as Flushable;
      if (session.outbox.lastFlushMs <= dueBefore) session.flush(nowMs);
      else sessions[kept++] = session;
    }
    sessions.length = kept;
    if (kept === 0 || this.#isTimerSet) return;
    this.#isTimerSet = true;
    setTimeout(this.#onTimer, this.#intervalMs);
  }
}
