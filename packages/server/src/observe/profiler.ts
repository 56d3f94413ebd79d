/**
 * CPU profiles and heap snapshots of this process, for Chrome DevTools. Only one runs at a time: two would measure each
 * other. Only the main thread is profiled. Permission and the HTTP response are handled by the route.
 */
import { createReadStream, fstatSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { writeHeapSnapshot } from 'node:v8';
import { atMost } from '../core/at-most.ts';
import { RequestError } from '../core/errors.ts';

export interface ProfilerOptions {
  /** Folder that holds a heap snapshot while it is written. */
  readonly folder: string;
  /** Prefix of file names, before the time. */
  readonly name: string;
  readonly now: () => number;
}

export interface HeapSnapshot {
  readonly bytes: number;
  readonly json: Readable;
}

export class Profiler {
  readonly #options: ProfilerOptions;
  #run: ProfileRun | undefined;
  #isStopped = false;
  #onReleased: (() => void) | undefined;

  constructor(options: ProfilerOptions) {
    this.#options = options;
  }

  /** Begins a run; no other can begin until it is released. Throws `profile_running` and `draining`. */
  begin(): ProfileRun {
    if (this.#isStopped)
      throw new RequestError('draining', 'the process is stopping; no new profile can begin');
    if (this.#run !== undefined) {
      throw new RequestError('profile_running', 'another profile of this process is being taken');
    }
    const { folder, name, now } = this.#options;
    const time = new Date(now()).toISOString().replace(/[:.]/g, '-');
    const run = new ProfileRun(folder, `${name}-${time}`, () => {
      this.#run = undefined;
      this.#onReleased?.();
    });
    this.#run = run;
    return run;
  }

  /** Ends the run in progress, waits at most `timeoutMs` until it is released, and lets no other begin. */
  async stop(timeoutMs: number): Promise<void> {
    this.#isStopped = true;
    if (this.#run === undefined) return;
    const released = new Promise<void>((resolve) => {
      this.#onReleased = resolve;
    });
    this.#run.end();
    await atMost(released, timeoutMs);
  }
}

const NO_ROOM: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

export class ProfileRun {
  /** Name of the file, without its extension. */
  readonly name: string;
  readonly #folder: string;
  readonly #onReleased: () => void;
  readonly #ended = Promise.withResolvers<void>();

  constructor(folder: string, name: string, onReleased: () => void) {
    this.#folder = folder;
    this.name = name;
    this.#onReleased = onReleased;
  }

  /** Samples for `durationMs`, or until `end`, and resolves with the JSON of a `.cpuprofile`. */
  async cpuProfile(durationMs: number): Promise<Buffer> {
    const session = new Session();
    session.connect();
    const timer = setTimeout(this.#ended.resolve, durationMs);
    try {
      await session.post('Profiler.enable');
      await session.post('Profiler.start');
      await this.#ended.promise;
      const { profile } = await session.post('Profiler.stop');
      return Buffer.from(JSON.stringify(profile));
    } finally {
      clearTimeout(timer);
      session.disconnect();
    }
  }

  /** Writes a snapshot, which blocks the process meanwhile. Throws `storage_full`. */
  heapSnapshot(): HeapSnapshot {
    // A private folder, so that nobody can read or forge the file. It is removed before the process continues.
    const folder = mkdtempSync(join(this.#folder, 'heap-snapshot-'));
    try {
      const fd = openSync(writeHeapSnapshot(join(folder, 'heap')), 'r');
      const bytes = fstatSync(fd).size;
      // With its end named, the stream ends with its last byte. Otherwise it reads once more, while a client that has
      // everything may ask for the next snapshot and be told that this one is still being taken.
      return { bytes, json: createReadStream('', { fd, start: 0, end: bytes - 1 }) };
    } catch (error) {
      const { code = '', message } = error as NodeJS.ErrnoException;
      if (!NO_ROOM.has(code)) throw error;
      throw new RequestError('storage_full', `the snapshot could not be written: ${message}`, {
        cause: error,
      });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  /** Ends the sampling. */
  end(): void {
    this.#ended.resolve();
  }

  /** Ends the run for good: its response has been sent, or the client is gone. */
  release(): void {
    this.end();
    this.#onReleased();
  }
}
