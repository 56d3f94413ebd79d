/**
 * Keeps the worker processes of the service running: starts them, restarts those that end after a growing delay, and
 * stops them. It knows workers only through `fork`; signals, logs and ports belong to the primary process.
 *
 * If every worker fails before any of them has served, the start of the service has failed, as it would for a single
 * process: a wrong password must fail the start and not be retried for ever. Once a worker has served, restarts never
 * stop.
 */
import { restartDelayMs } from './restart-delay.ts';

export interface WorkerEnd {
  readonly code: number | null;
  readonly signal: string | null;
}

export interface WorkerProcess {
  /** Asks a serving worker to drain and exit. */
  stop(): void;
  kill(signal: 'SIGTERM' | 'SIGKILL'): void;
}

export interface WorkerEvents {
  /** Called when the worker serves. */
  readonly onReady: () => void;
  /** Called once, when the process is gone. */
  readonly onEnded: (end: WorkerEnd) => void;
}

export interface SupervisorObserver {
  /** All workers serve; called once. */
  allReady(): void;
  /** A worker ended without being stopped; it is restarted after the delay. */
  ended(index: number, end: WorkerEnd, restartDelayMs: number): void;
  /** No worker could be started. Those still running are killed. */
  startFailed(): void;
  /** After `stop`, no worker is left. `isClean` tells whether each of them exited cleanly. */
  stopped(isClean: boolean): void;
}

export interface SupervisorOptions<P extends WorkerProcess> {
  readonly count: number;
  readonly fork: (index: number, events: WorkerEvents) => P;
  readonly observer: SupervisorObserver;
  readonly now: () => number;
  readonly random: () => number;
}

/** A worker that has served for this long is restarted with the shortest delay again. */
const STABLE_MS = 60_000;

interface Slot<P> {
  /** From 1. */
  readonly index: number;
  process: P | undefined;
  /** Time at which the worker began to serve; `undefined` while it does not. */
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

  /** The workers by index; `process` is set for those that serve. */
  workers(): { index: number; restarts: number; process: P | undefined }[] {
    return this.#slots.map(({ index, restarts, process, readyAtMs }) => ({
      index,
      restarts,
      process: readyAtMs === undefined ? undefined : process,
    }));
  }

  /** Makes every worker drain and exit; none is restarted. */
  stop(): void {
    this.#isStopping = true;
    for (const { process, readyAtMs, timer } of this.#slots) {
      clearTimeout(timer);
      // A worker that does not serve yet does not handle messages either.
      if (readyAtMs === undefined) process?.kill('SIGTERM');
      else process?.stop();
    }
    this.#checkStopped();
  }

  /** Kills every worker at once; none is restarted. */
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
      // A worker that did not serve yet has no handler and is ended by the signal itself.
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
