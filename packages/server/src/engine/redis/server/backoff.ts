/**
 * Pauses between attempts: doubled after every failure up to a bound, and jittered so that nodes do not come back
 * in step.
 */

const FIRST_MS = 50;
const LONGEST_MS = 2000;
/** A connection that held for so long was a success: the next failure starts with the shortest pause. */
const STABLE_MS = 10_000;

export class Backoff {
  readonly #random: () => number;
  #failures = 0;
  #succeededAtMs: number | undefined;

  constructor(random: () => number) {
    this.#random = random;
  }

  succeeded(): void {
    this.#succeededAtMs = performance.now();
  }

  /** Time to wait before the next attempt, ms. */
  next(): number {
    if (this.#succeededAtMs !== undefined && performance.now() - this.#succeededAtMs > STABLE_MS) {
      this.#failures = 0;
    }
    this.#succeededAtMs = undefined;
    const longest = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(this.#failures++, 10));
    return longest * (0.5 + this.#random() / 2);
  }
}
