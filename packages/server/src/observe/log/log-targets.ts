/** The places that log lines go to. All report a failed write by rejecting and may be written to again. */
import { appendFileSync, write, writeSync } from 'node:fs';
import path from 'node:path';
import { createStream, type RotatingFileStream } from 'rotating-file-stream';
import type { LogTarget } from './log-sink.ts';

const STDOUT_FD = 1;
const RETRY_MS = 50;

/**
 * Standard output, without `process.stdout`: that one blocks the event loop while the reader of a pipe is slow,
 * and ends the process when the reader has gone.
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
    // Standard output is not ours to close.
  }
}

/**
 * `process.stdout` where PM2's cluster mode has replaced its `write`: descriptor 1 is the daemon's there, and what is
 * written to it does not appear in `pm2 logs`.
 */
export class ReplacedStdoutTarget implements LogTarget {
  readonly name = 'standard output';

  append(text: string): Promise<void> {
    return new Promise((resolve, reject) => {
      process.stdout.write(text, 'utf8', (error) => (error ? reject(error) : resolve()));
    });
  }

  /** Not written when it returns: a later `write` calls back when it is. */
  appendSync(text: string): void {
    process.stdout.write(text);
  }

  async close(): Promise<void> {
    // Standard output is not ours to close.
  }
}

/** Bytes written; 0 after a while when the reader of a non-blocking pipe takes none now. */
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
  /** Absolute. Its folder is made when it is missing. */
  readonly file: string;
  /** undefined: append for ever. `backups` older files are kept as `file.1`, `file.2` … */
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
    // A stream is done with its first error; the next append opens another one, so that logging resumes by
    // itself when the disk has room again. The error itself rejects the append under way.
    stream.on('error', () => {
      if (this.#stream === stream) this.#stream = undefined;
    });
    this.#stream = stream;
    return stream;
  }
}
