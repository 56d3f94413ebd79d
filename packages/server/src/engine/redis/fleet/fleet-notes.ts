/**
 * Notes that every node has to read, in one stream of Redis. The bus only wakes nodes up: each node reads what is new
 * every second anyway, and everything again after it has lost a server, which may be another one now.
 */
import { RequestError } from '../../../core/errors.ts';
import type { SharedNotes, SharedNotesListener } from '../../../core/shared-state.ts';

/** Result of `lua/fleet/read_notes.lua`: how many notes there are, and a page of them as alternating ids and texts. */
export type NotesReply = readonly [count: number, entries: readonly string[]];

export interface FleetNotesOptions {
  readonly append: (notes: readonly string[], keepMs: number) => Promise<unknown>;
  /** Reads a page of the notes after an id. */
  readonly read: (after: string) => Promise<NotesReply>;
  /** Wakes the other nodes. */
  readonly announce: () => Promise<void>;
}

const READ_INTERVAL_MS = 1000;
const BEGINNING = '0-0';
/** A script takes a bounded number of arguments. */
const MAX_APPENDED_AT_ONCE = 500;

export class FleetNotes implements SharedNotes {
  readonly #options: FleetNotesOptions;
  #listener: SharedNotesListener | undefined;
  /** Id of the newest note that was read. */
  #last = BEGINNING;
  #isReading = false;
  #isStale = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: FleetNotesOptions) {
    this.#options = options;
  }

  async open(listener: SharedNotesListener): Promise<void> {
    this.#listener = listener;
    await this.#read();
    this.#timer = setInterval(() => this.refreshSoon(), READ_INTERVAL_MS);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#listener = undefined;
  }

  async add(note: string): Promise<void> {
    const { append, announce } = this.#options;
    try {
      await append([note], this.#listener?.keepMs ?? 0);
    } catch (cause) {
      const problem =
        'Redis does not answer: the change is in effect on this node, but perhaps not on the others';
      throw new RequestError('engine_unavailable', problem, { cause, retryAfterSeconds: 1 });
    }
    // Nodes that do not get the letter read the note a second later.
    await announce().catch(() => undefined);
  }

  /** Reads all notes again. */
  readAllSoon(): void {
    this.#last = BEGINNING;
    this.refreshSoon();
  }

  /** Reads what is new. A read that fails is repeated a second later. */
  refreshSoon(): void {
    if (this.#listener === undefined) return;
    this.#isStale = true;
    if (!this.#isReading) void this.#readWhileStale();
  }

  async #readWhileStale(): Promise<void> {
    this.#isReading = true;
    try {
      while (this.#isStale) {
        this.#isStale = false;
        await this.#read();
      }
    } catch {
      // Redis is unreachable, which is logged where the connection is lost.
      this.#isStale = false;
    } finally {
      this.#isReading = false;
    }
  }

  async #read(): Promise<void> {
    const { read, append } = this.#options;
    for (;;) {
      const after = this.#last;
      const [count, entries] = await read(after);
      if (this.#listener === undefined) return;
      // All are to be read again: this page may be from a server that is gone.
      if (this.#last !== after) continue;
      for (let i = 0; i + 1 < entries.length; i += 2) {
        this.#last = entries[i] as string;
        this.#listener.onNote(entries[i + 1] as string);
      }
      if (entries.length > 0) continue;
      const known = count === 0 ? this.#listener.known() : [];
      for (let i = 0; i < known.length; i += MAX_APPENDED_AT_ONCE) {
        await append(known.slice(i, i + MAX_APPENDED_AT_ONCE), this.#listener.keepMs);
      }
      return;
    }
  }
}
