/** Lost log lines: counted for the metrics and reported on standard error, at most once a minute. */
import { writeSync } from 'node:fs';

export interface LogFailuresOptions {
  /** Counters of the metrics. */
  readonly counters: { lostLines: number };
  readonly nowMs?: () => number;
  readonly say?: (text: string) => void;
}

const QUIET_MS = 60_000;

export class LogFailures {
  readonly #counters: { lostLines: number };
  readonly #nowMs: () => number;
  readonly #say: (text: string) => void;
  #saidAtMs = Number.NEGATIVE_INFINITY;
  #unsaidLines = 0;

  constructor({ counters, nowMs = Date.now, say = sayOnStderr }: LogFailuresOptions) {
    this.#counters = counters;
    this.#nowMs = nowMs;
    this.#say = say;
  }

  /** Records that `lines` lines could not be written to `target`. */
  report(target: string, lines: number, reason: unknown): void {
    this.#counters.lostLines += lines;
    this.#unsaidLines += lines;
    const nowMs = this.#nowMs();
    if (nowMs - this.#saidAtMs < QUIET_MS) return;
    const words = reason instanceof Error ? reason.message : String(reason);
    this.#say(`cannot write the log to ${target}, ${this.#unsaidLines} lines lost: ${words}\n`);
    this.#saidAtMs = nowMs;
    this.#unsaidLines = 0;
  }
}

function sayOnStderr(text: string): void {
  try {
    writeSync(2, text);
  } catch (error) {
    // There is nowhere left to report it. The lines are still counted; throwing here would end the process.
    void error;
  }
}
