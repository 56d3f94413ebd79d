/**
 * Keeps the worker processes of the service running: starts them, starts the ones that end again after a while that
 * grows, and stops them. It knows workers only through `fork`; signals, logs and ports are the primary process's.
 *
 * A start that fails on every worker before any of them has served is a failure of the service, as it is for one
 * process alone: a wrong password must stop the start, not be tried for ever. Once one has served, workers are
 * started again for as long as it takes.
 */
import { restartDelayMs } from './restart-delay.ts';

export interface WorkerEnd {
  readonly code: number | null;
  readonly signal: string | null;
}

export interface WorkerProcess {
  /** Asks a worker that serves to drain and end. */
  stop(): void;
  kill(signal: 'SIGTERM' | 'SIGKILL'): void;
}

export interface WorkerEvents {
  /** It serves. */
  readonly onReady: () => void;
  /** Called once; nothing of it is left. */
  readonly onEnded: (end: WorkerEnd) => void;
}

export interface SupervisorObserver {
  /** All workers serve; called once. */
  allReady(): void;
  /** A worker ended although nobody stopped it and is started again in a while. */
  ended(index: number, end: WorkerEnd, restartDelayMs: number): void;
  /** No worker could be started. What still runs is killed. */
  startFailed(): void;
  /** After `stop`: none is left. `isClean`: each ended as it should. */
  stopped(isClean: boolean): void;
}

export interface SupervisorOptions<P extends WorkerProcess> {
  readonly count: number;
  readonly fork: (index: number, events: WorkerEvents) => P;
  readonly observer: SupervisorObserver;
  readonly now: () => number;
  readonly random: () => number;
}

/** One that has served for this long starts with the shortest wait again. */
const STABLE_MS = 60_000;

interface Slot<P> {
  /** From 1. */
  readonly index: number;
  process: P | undefined;
  /** When it began to serve; undefined: it does not. */
  readyAtMs: number | undefined;
  failures: number;
  restarts: number;
  timer: NodeJS.Timeout | undefined;
}

export class Supervisor<P extends WorkerProcess> {
  readonly #options: SupervisorOptions<P>;
  readonly #slots: readonly Slot<P>[];
  #hasServed = false;
  #wereAllReady = false;
  #isStopping = false;
  #isClean = true;

  constructor(options: SupervisorOptions<P>) {
    this.#options = options;
    this.#slots = Array.from({ length: options.count }, (_, i) => ({
      index: i + 1,
      process: undefined,
      readyAtMs: undefined,
      failures: 0,
      restarts: 0,
      timer: undefined,
    }));
  }

  start(): void {
    for (const slot of this.#slots) this.#fork(slot);
  }

  /** Workers by index; `process` is there for those that serve. */
  workers(): { index: number; restarts: number; process: P | undefined }[] {
    return this.#slots.map(({ index, restarts, process, readyAtMs }) => ({
      index,
      restarts,
      process: readyAtMs === undefined ? undefined : process,
    }));
  }

  /** Every worker drains and ends; none is started again. */
  stop(): void {
    this.#isStopping = true;
    for (const { process, readyAtMs, timer } of this.#slots) {
      clearTimeout(timer);
      // One that does not serve yet does not listen to orders either.
      if (readyAtMs === undefined) process?.kill('SIGTERM');
      else process?.stop();
    }
    this.#checkStopped();
  }

  /** Ends every worker at once; none is started again. */
  kill(): void {
    this.#isStopping = true;
    for (const { process, timer } of this.#slots) {
      clearTimeout(timer);
      process?.kill('SIGKILL');
    }
  }

  #fork(slot: Slot<P>): void {
    slot.process = this.#options.fork(slot.index, {
      onReady: () => this.#onReady(slot),
      onEnded: (end) => this.#onEnded(slot, end),
    });
  }

  #onReady(slot: Slot<P>): void {
    slot.readyAtMs = this.#options.now();
    this.#hasServed = true;
    if (this.#wereAllReady || this.#slots.some(({ readyAtMs }) => readyAtMs === undefined)) return;
    this.#wereAllReady = true;
    this.#options.observer.allReady();
  }

  #onEnded(slot: Slot<P>, end: WorkerEnd): void {
    const { observer, now, random } = this.#options;
    const { readyAtMs } = slot;
    slot.process = undefined;
    slot.readyAtMs = undefined;
    if (this.#isStopping) {
      // A worker that had nothing to drain yet is ended by the signal itself.
      this.#isClean &&= end.code === 0 || (readyAtMs === undefined && end.signal === 'SIGTERM');
      this.#checkStopped();
      return;
    }
    if (readyAtMs !== undefined && now() - readyAtMs >= STABLE_MS) slot.failures = 0;
    const delayMs = restartDelayMs(slot.failures++, random());
    if (!this.#hasServed && this.#slots.every(({ failures }) => failures > 0)) {
      this.kill();
      observer.startFailed();
      return;
    }
    observer.ended(slot.index, end, delayMs);
    slot.timer = setTimeout(() => {
      slot.restarts++;
      this.#fork(slot);
    }, delayMs);
  }

  #checkStopped(): void {
    if (this.#slots.every(({ process }) => process === undefined)) {
      this.#options.observer.stopped(this.#isClean);
    }
  }
}
