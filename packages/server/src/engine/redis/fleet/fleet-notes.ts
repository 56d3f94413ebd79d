/**
 * Notes that every node has to know, in one stream of Redis. The bus only wakes: each node reads what is new once a
 * second anyway, and everything again when it has been away from a server, which may be another one now.
 */
import { RequestError } from '../../../core/errors.ts';
import type { SharedNotes, SharedNotesListener } from '../../../core/shared-state.ts';

/** What `lua/notes.lua` returns: how many there are, and those after the asked one, id and text by turns. */
export type NotesReply = readonly [count: number, entries: readonly string[]];

export interface FleetNotesOptions {
  readonly write: (notes: readonly string[], keepMs: number) => Promise<unknown>;
  /** At most a page; `after` is an id. */
  readonly read: (after: string) => Promise<NotesReply>;
  /** Wakes the other nodes. */
  readonly announce: () => Promise<void>;
}

const READ_INTERVAL_MS = 1000;
const BEGINNING = '0-0';
/** A script's arguments are bounded. */
const MAX_WRITTEN_AT_ONCE = 500;

export class FleetNotes implements SharedNotes {
  readonly #options: FleetNotesOptions;
  #listener: SharedNotesListener | undefined;
  /** Id of the last one that was read. */
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
    const { write, announce } = this.#options;
    try {
      await write([note], this.#listener?.keepMs ?? 0);
    } catch (cause) {
      const problem = 'Redis does not answer: it counts on this node, and perhaps not on the others';
      throw new RequestError('engine_unavailable', problem, { cause, retryAfterSeconds: 1 });
    }
    // Who does not hear it reads it a second later.
    await announce().catch(() => undefined);
  }

  readAllSoon(): void {
    this.#last = BEGINNING;
    this.refreshSoon();
  }

  /** What fails is tried again a second later. */
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
      // Redis is away: whoever asks it for something says so.
      this.#isStale = false;
    } finally {
      this.#isReading = false;
    }
  }

  async #read(): Promise<void> {
    const { read, write } = this.#options;
    for (;;) {
      const after = this.#last;
      const [count, entries] = await read(after);
      if (this.#listener === undefined) return;
      // It was reset meanwhile: what has come may be of a server that is gone.
      if (this.#last !== after) continue;
      for (let i = 0; i + 1 < entries.length; i += 2) {
        this.#last = entries[i] as string;
        this.#listener.onNote(entries[i + 1] as string);
      }
      if (entries.length > 0) continue;
      const known = count === 0 ? this.#listener.known() : [];
      for (let i = 0; i < known.length; i += MAX_WRITTEN_AT_ONCE) {
        await write(known.slice(i, i + MAX_WRITTEN_AT_ONCE), this.#listener.keepMs);
      }
      return;
    }
  }
}
