/** The state that the nodes on one store share beside channels. */

/**
 * Facts that every node has to learn soon, and to learn again after a restart or a time without the store. They may
 * arrive in any order and more than once.
 */
export interface SharedNotes {
  /** Stores a note for all nodes, this one included. Rejects when that is not certain. */
  add(note: string): Promise<void>;
  /** Reads all notes before it resolves. New ones arrive within two seconds, as long as the store can be reached. */
  open(listener: SharedNotesListener): Promise<void>;
  close(): void;
}

export interface SharedNotesListener {
  /** How long a note has to be kept. */
  readonly keepMs: number;
  onNote(note: string): void;
  /** The notes that this node knows. Called when the store has lost them, to write them again. */
  known(): readonly string[];
}

/** Counters of limits. `access/limits/rate-window.ts` has the arithmetic. */
export interface SharedCounters {
  take(
    key: string,
    limit: number,
    windowMs: number,
    cost: number,
  ): Promise<{ readonly isAllowed: boolean; readonly remaining: number; readonly resetMs: number }>;
}
