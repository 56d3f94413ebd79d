/**
 * Copies the store into a file from within the thread that owns it, some milliseconds at a time, so that commits and
 * reads have their turn. (SQLite's own backup would run beside the thread: it fails when it meets a transaction, and
 * holds transactions up.)
 *
 * Rows are copied in the order of `seq`, in which they are appended. At the end, in one step, come the last of them
 * and all that is known of the channels: the copy is the store as of that moment, but for rows that were deleted after
 * they had been copied, which lie below a floor or have expired.
 */

import { type FileHandle, open } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';

/** And as long a rest after each. */
const SLICE_MS = 5;
const SLICES_PER_SYNC = 16;
/** Few enough to stay near a slice when they are as large as messages may be. */
const ROWS_AT_ONCE = 16;
/** Appended to and deleted from, never changed. */
const LOGS = ['publication', 'receipt'] as const;
const REST = ['channel', 'ancestor'] as const;

/** `createTables` gives the new file the store's tables. Resolves when it is on disk; rejects soon after `isStopped` says so. */
export async function copyStore(
  db: DatabaseSync,
  file: string,
  { createTables, isStopped }: { createTables: (copy: DatabaseSync) => void; isStopped: () => boolean },
): Promise<void> {
  const copy = new DatabaseSync(file);
  try {
    createTables(copy);
  } finally {
    copy.close();
  }
  const handle = await open(file, 'r+');
  try {
    await copyInSlices(db, handle, file, isStopped);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function copyInSlices(
  db: DatabaseSync,
  handle: FileHandle,
  file: string,
  isStopped: () => boolean,
): Promise<void> {
  db.prepare('ATTACH ? AS copy').run(file);
  try {
    // A copy that is not finished is worth nothing: there is nothing to protect before that.
    db.exec('PRAGMA copy.journal_mode = OFF; PRAGMA copy.synchronous = OFF; PRAGMA copy.cache_size = -16384');
    const logs = LOGS.map((table) =>
      db.prepare(
        `INSERT INTO copy.${table} SELECT * FROM main.${table}
           WHERE seq > coalesce((SELECT max(seq) FROM copy.${table}), 0) ORDER BY seq LIMIT ${ROWS_AT_ONCE}`,
      ),
    );
    // All of them, or those after the first that has more would wait for it.
    const copyRows = (): boolean => logs.map((log) => log.run().changes === 0).every(Boolean);
    const newest = (schema: string): number => {
      const row = db.prepare(`SELECT coalesce(max(seq), 0) AS seq FROM ${schema}.publication`).get();
      return (row as { seq: number }).seq;
    };
    const newestAtStart = newest('main');
    let sliceMs = SLICE_MS;
    for (let slices = 1; !copySlice(db, copyRows, sliceMs); slices++) {
      if (isStopped()) throw new Error('the service is stopping');
      // What has come meanwhile is caught up with in longer and longer slices, or much that comes would never end.
      if (newest('copy') >= newestAtStart) sliceMs *= 2;
      // All at the end, what waits to be written would hold up the commits' own writing.
      if (slices % SLICES_PER_SYNC === 0) await handle.sync();
      await delay(SLICE_MS);
    }
  } finally {
    db.exec('DETACH copy');
  }
}

/** True when all is copied: the rest is then copied in the same transaction. */
function copySlice(db: DatabaseSync, copyRows: () => boolean, sliceMs: number): boolean {
  const untilMs = performance.now() + sliceMs;
  db.exec('BEGIN');
  try {
    let isAll = false;
    while (!isAll && performance.now() < untilMs) isAll = copyRows();
    if (isAll) for (const table of REST) db.exec(`INSERT INTO copy.${table} SELECT * FROM main.${table}`);
    db.exec('COMMIT');
    return isAll;
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK');
    throw error;
  }
}
