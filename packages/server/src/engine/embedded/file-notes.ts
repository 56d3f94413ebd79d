/**
 * Notes that outlive the process, for a service of one process: a file with one note a line, each on disk before its
 * sender is answered. The file is written anew, without notes that have expired, at the start and when most of its
 * lines have.
 */

import type { FileHandle } from 'node:fs/promises';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { RequestError } from '../../core/errors.ts';
import type { SharedNotes, SharedNotesListener } from '../../core/shared-state.ts';

/** A file with no more lines than this is not worth writing anew. */
const FEW_LINES = 1000;

export class FileNotes implements SharedNotes {
  readonly #path: string;
  #listener: SharedNotesListener | undefined;
  #file: FileHandle | undefined;
  #lines = 0;
  /** The write that is under way. Writes come one after the other. */
  #last: Promise<void> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  async open(listener: SharedNotesListener): Promise<void> {
    this.#listener = listener;
    let text = '';
    try {
      text = await readFile(this.#path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    for (const line of text.split('\n')) if (line !== '') listener.onNote(line);
    await this.#rewrite(listener.known());
  }

  close(): void {
    const file = this.#file;
    this.#file = undefined;
    this.#listener = undefined;
    // A write that is under way is finished first.
    void this.#last.then(() => file?.close()).catch(() => undefined);
  }

  add(note: string): Promise<void> {
    const added = this.#last.then(() => this.#append(note));
    this.#last = added.catch(() => undefined);
    return added;
  }

  async #append(note: string): Promise<void> {
    try {
      if (this.#file === undefined) throw new Error('the file is closed');
      await this.#file.appendFile(`${note}\n`);
      await this.#file.datasync();
    } catch (cause) {
      const code = (cause as NodeJS.ErrnoException).code === 'ENOSPC' ? 'storage_full' : 'engine_unavailable';
      throw new RequestError(
        code,
        'the change is in effect, but could not be written to disk and would be lost at a restart',
        {
          cause,
          retryAfterSeconds: 1,
        },
      );
    }
    this.#lines++;
    const known = this.#lines > FEW_LINES ? this.#listener?.known() : undefined;
    if (known !== undefined && this.#lines > 2 * known.length) await this.#rewrite(known);
  }

  /** Writes the file anew. At every moment either the old file or the new one is there, whole. */
  async #rewrite(notes: readonly string[]): Promise<void> {
    await mkdir(dirname(this.#path), { recursive: true });
    const temporary = `${this.#path}.new`;
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(notes.map((note) => `${note}\n`).join(''));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, this.#path);
    const before = this.#file;
    this.#file = await open(this.#path, 'a', 0o600);
    this.#lines = notes.length;
    await before?.close();
  }
}
