/**
 * The file of API keys, reloaded when it changes, so that keys can be rotated without a restart. The file is polled,
 * not watched: watching fails silently on network file systems and on volumes that replace files by swapping symbolic
 * links.
 */
import { readFile, stat } from 'node:fs/promises';
import { type ApiKeyRecord, parseKeyList } from './key-list.ts';

export interface KeyFileOptions {
  /** Absolute. */
  readonly path: string;
  /** Receives each new list; may refuse it by throwing an Error for the operator. */
  readonly onKeys: (records: readonly ApiKeyRecord[]) => void;
  /** Called once for each change that cannot be used. The previous list stays in effect. */
  readonly onError: (error: Error) => void;
  readonly intervalMs?: number;
}

const MAX_FILE_BYTES = 8 * 1024 * 1024;
const INTERVAL_MS = 2000;

export class KeyFile {
  readonly #options: KeyFileOptions;
  /** Identity of the file's state when it was last read, from `#look`. */
  #seen = '';
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: KeyFileOptions) {
    this.#options = options;
  }

  /** Reads the file for the first time; rejects with an Error for the operator. */
  async open(): Promise<void> {
    this.#seen = await this.#look();
    await this.#read();
    this.#schedule();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  /** Reads the file again if it has changed. */
  async check(): Promise<void> {
    let look: string;
    try {
      look = await this.#look();
    } catch (error) {
      look = (error as Error).message;
    }
    if (look === this.#seen) return;
    this.#seen = look;
    try {
      await this.#read();
    } catch (error) {
      this.#options.onError(error as Error);
    }
  }

  #schedule(): void {
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => {
      void this.check().finally(() => this.#schedule());
    }, this.#options.intervalMs ?? INTERVAL_MS);
    this.#timer.unref();
  }

  /** Identifies the state of the file, following links. Changes when the file is written, replaced or swapped. */
  async #look(): Promise<string> {
    const { path } = this.#options;
    try {
      const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
      return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
    } catch (cause) {
      throw unreadable(path, cause);
    }
  }

  async #read(): Promise<void> {
    const { path, onKeys } = this.#options;
    let text: string;
    try {
      const { size } = await stat(path);
      if (size > MAX_FILE_BYTES) throw new Error(`it has more than ${MAX_FILE_BYTES} bytes`);
      text = await readFile(path, 'utf8');
    } catch (cause) {
      throw unreadable(path, cause);
    }
    const records = parseKeyList(text, `API_KEYS_FILE ${path}`);
    if (!this.#isClosed) onKeys(records);
  }
}

function unreadable(path: string, cause: unknown): Error {
  const { code, message } = cause as NodeJS.ErrnoException;
  return new Error(`API_KEYS_FILE ${path} cannot be read (${code ?? message})`, { cause });
}
