/** The targets of log lines. All reject when a write fails, and can be written to again afterwards. */
import { appendFileSync, write, writeSync } from 'node:fs';
import path from 'node:path';
import { createStream, type RotatingFileStream } from 'rotating-file-stream';
import type { LogTarget } from './log-sink.ts';

const STDOUT_FD = 1;
const RETRY_MS = 50;

/**
 * Standard output, without `process.stdout`, which blocks the event loop while the reader of a pipe is slow and ends
 * the process when the reader is gone.
 */
export class StdoutTarget implements LogTarget {
  readonly name = 'standard output';

  async append(text: string): Promise<void> {
    let rest = Buffer.from(text);
    while (rest.length > 0) rest = rest.subarray(await writeSome(rest));
  }

  appendSync(text: string): void {
    writeSync(STDOUT_FD, text);
  }

  async close(): Promise<void> {
    // Standard output stays open: it belongs to whoever started the process.
  }
}

/**
 * `process.stdout` under PM2's cluster mode, which replaces its `write`. Descriptor 1 belongs to the daemon there, and
 * nothing written to it appears in `pm2 logs`.
 */
export class ReplacedStdoutTarget implements LogTarget {
  readonly name = 'standard output';

  append(text: string): Promise<void> {
    return new Promise((resolve, reject) => {
      process.stdout.write(text, 'utf8', (error) => (error ? reject(error) : resolve()));
    });
  }

  /** Not yet written when this returns; the callback of a later `write` tells when it is. */
  appendSync(text: string): void {
    process.stdout.write(text);
  }

  async close(): Promise<void> {
    // Standard output stays open: it belongs to whoever started the process.
  }
}

/** Resolves with the bytes written; with 0, after a pause, when a non-blocking pipe is full. */
function writeSome(bytes: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    write(STDOUT_FD, bytes, (error, written) => {
      if (error === null) resolve(written);
      else if (error.code === 'EAGAIN') setTimeout(resolve, RETRY_MS, 0);
      else reject(error);
    });
  });
}

export interface FileTargetOptions {
  /** Absolute path. A missing folder is created. */
  readonly file: string;
  /** `undefined` when the file is not rotated. `backups` older files are kept as `file.1`, `file.2` … */
  readonly rotation: { readonly maxBytes: number; readonly backups: number } | undefined;
}

export class FileTarget implements LogTarget {
  readonly name: string;
  readonly #options: FileTargetOptions;
  #stream: RotatingFileStream | undefined;

  constructor(options: FileTargetOptions) {
    this.name = options.file;
    this.#options = options;
  }

  async append(text: string): Promise<void> {
    const stream = this.#open();
    await new Promise<void>((resolve, reject) => {
      stream.write(text, (error) => (error ? reject(error) : resolve()));
    });
  }

  appendSync(text: string): void {
    appendFileSync(this.#options.file, text);
  }

  close(): Promise<void> {
    const stream = this.#stream;
    if (stream === undefined) return Promise.resolve();
    this.#stream = undefined;
    return new Promise((resolve, reject) => {
      stream.once('error', reject);
      stream.once('close', resolve);
      stream.end();
    });
  }

  #open(): RotatingFileStream {
    if (this.#stream !== undefined) return this.#stream;
    const { file, rotation } = this.#options;
    const stream = createStream(path.basename(file), {
      path: path.dirname(file),
      ...(rotation && { size: `${rotation.maxBytes}B`, rotate: rotation.backups }),
    });
    // A stream is unusable after its first error; the next append opens another one, so that logging resumes when the
    // disk has room again. The error also rejects the append in progress.
    stream.on('error', () => {
      if (this.#stream === stream) this.#stream = undefined;
    });
    this.#stream = stream;
    return stream;
  }
}
