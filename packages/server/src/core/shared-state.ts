/** What the nodes on one store share beside channels. */

/**
 * Facts that every node has to know soon, and to know again after it was away or started anew. Told in any order, and
 * repeatedly.
 */
export interface SharedNotes {
  /** Stores a note for all nodes, this one too; rejects when that is not certain. */
  add(note: string): Promise<void>;
  /** Reads all notes before it resolves; from then on new ones are told within two seconds, while the store is there. */
  open(listener: SharedNotesListener): Promise<void>;
  close(): void;
}

export interface SharedNotesListener {
  /** How long a note has to be kept. */
  readonly keepMs: number;
  onNote(note: string): void;
  /** The store has lost its notes: what this node knows, to be written again. */
  known(): readonly string[];
}

/** Counters of limits; see `access/rate-window.ts` for the arithmetic. */
export interface SharedCounters {
  take(
    key: string,
    limit: number,
    windowMs: number,
    cost: number,
  ): Promise<{ readonly isAllowed: boolean; readonly remaining: number; readonly resetMs: number }>;
}
