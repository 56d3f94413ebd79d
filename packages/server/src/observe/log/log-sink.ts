/**
 * A target of log lines (standard output, a file) behind a bounded buffer. Logging never waits for a disk or a pipe,
 * never throws and never ends the process; lines that cannot be written are counted and reported.
 */
import type { LogFailures } from './log-failures.ts';

export interface LogTarget {
  readonly name: string;
  /** Writes whole lines; rejects when that fails. Not called again before it has settled. */
  append(text: string): Promise<void>;
  /** Writes whole lines before it returns, for a process that is about to end. */
  appendSync(text: string): void;
  close(): Promise<void>;
}

/** About 4 MB. Lines are dropped when a target falls further behind. */
const MAX_BUFFERED_CHARS = 4 * 1024 * 1024;

export class LogSink {
  readonly #target: LogTarget;
  readonly #failures: LogFailures;
  #lines: string[] = [];
  #bufferedChars = 0;
  /** The write in progress and those that follow it; `undefined` when nothing is to be written. */
  #pump: Promise<void> | undefined;

  constructor(target: LogTarget, failures: LogFailures) {
    this.#target = target;
    this.#failures = failures;
  }

  write(line: string): void {
    if (this.#bufferedChars + line.length > MAX_BUFFERED_CHARS) {
      this.#failures.report(this.#target.name, 1, 'it accepts lines too slowly');
      return;
    }
    this.#lines.push(line);
    this.#bufferedChars += line.length;
    this.#pump ??= this.#drain();
  }

  flushSync(): void {
    const { text, count } = this.#take();
    if (count === 0) return;
    try {
      this.#target.appendSync(text);
    } catch (error) {
      this.#failures.report(this.#target.name, count, error);
    }
  }

  async close(): Promise<void> {
    await this.#pump;
    try {
      await this.#target.close();
    } catch (error) {
      this.#failures.report(this.#target.name, 0, error);
    }
  }

  async #drain(): Promise<void> {
    // Deferred, so that lines logged in one turn are written together. Lines logged during a write go into the next
    // one.
    await Promise.resolve();
    while (this.#lines.length > 0) {
      const { text, count } = this.#take();
      try {
        await this.#target.append(text);
      } catch (error) {
        this.#failures.report(this.#target.name, count, error);
      }
    }
    this.#pump = undefined;
  }

  #take(): { text: string; count: number } {
    const taken = { text: this.#lines.join(''), count: this.#lines.length };
    this.#lines = [];
    this.#bufferedChars = 0;
    return taken;
  }
}
