/** Opens the store in a data directory. A file that cannot be read is set aside, and a new log begins. */
import { mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { beginNewEpochs, isCopy } from './lineage.ts';
import { loadStore } from './load-store.ts';
import { createTables, ensureAncestorTable, SCHEMA_VERSION } from './schema.ts';
import { isCorrupt } from './sqlite-errors.ts';
import { Store } from './store.ts';
import type { OpenReply } from './store-protocol.ts';

export const FILE_NAME = 'messages.db';

/**
 * A file that SQLite cannot read is renamed, never deleted. The new log has new epochs: every stream with a cursor
 * gets a gap, none gets wrong data.
 */
export function openStore(directory: string, receiptsSinceMs: number): { store: Store; opened: OpenReply } {
  mkdirSync(directory, { recursive: true });
  const file = join(directory, FILE_NAME);
  try {
    return openFile(file, receiptsSinceMs, undefined);
  } catch (error) {
    if (!isCorrupt(error)) throw error;
    return openFile(file, receiptsSinceMs, setStoreAside(file, 'unreadable'));
  }
}

/** Renames the file together with its write-ahead log, and returns its new name. */
export function setStoreAside(file: string, why: string): string {
  const setAside = `${file}.${why}-${new Date().toISOString().replaceAll(':', '-')}`;
  for (const suffix of ['', '-wal']) {
    try {
      renameSync(file + suffix, setAside + suffix);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
    }
  }
  return setAside;
}

function openFile(file: string, receiptsSinceMs: number, setAside: string | undefined) {
  const db = new DatabaseSync(file);
  try {
    // Exclusive before WAL: a second process is refused, and the index of the WAL stays in our memory.
    db.exec(`PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY;`);
    prepareTables(db, file);
    // A copy that was put here by hand: what it does not have is not known, so every channel may have lost messages.
    if (isCopy(db)) beginNewEpochs(db, () => true);
    const store = new Store(db);
    return { store, opened: { ...loadStore(db, receiptsSinceMs), setAside } };
  } catch (error) {
    db.close();
    throw error;
  }
}

function prepareTables(db: DatabaseSync, file: string): void {
  const { user_version: version } = db.prepare('PRAGMA user_version').get() as { user_version: number };
  if (version === 0) createTables(db);
  else if (version === SCHEMA_VERSION) ensureAncestorTable(db);
  else {
    throw new Error(`${file} has schema version ${version}; this program reads version ${SCHEMA_VERSION}`);
  }
}
