/**
 * Copies the store into a file from within the thread that owns it, some milliseconds at a time, so that commits and
 * reads have their turn. (SQLite's own backup would run beside the thread: it fails when it meets a transaction, and
 * holds transactions up.)
 *
 * Rows are copied in the order of `seq`, in which they are appended. The last step copies the newest rows together with
 * all channels. So the copy is the store as of that moment, except that it may have rows that were deleted after they
 * had been copied; these lie below a floor or have expired.
 */

import { type FileHandle, open } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';

/** Time that a slice takes, and the pause after it. */
const SLICE_MS = 5;
const SLICES_PER_SYNC = 16;
/** Few enough to take about the time of a slice when they are as large as messages may be. */
const ROWS_AT_ONCE = 16;
/** Tables whose rows are appended and deleted, but never changed. */
const LOGS = ['publication', 'receipt'] as const;
const REST = ['channel', 'ancestor'] as const;

/** `createTables` creates the tables in the new file. Resolves when the copy is on disk; rejects soon after `isStopped`. */
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
    // An unfinished copy is worth nothing, so that nothing has to be protected before the end.
    db.exec('PRAGMA copy.journal_mode = OFF; PRAGMA copy.synchronous = OFF; PRAGMA copy.cache_size = -16384');
    const logs = LOGS.map((table) =>
      db.prepare(
        `INSERT INTO copy.${table} SELECT * FROM main.${table}
           WHERE seq > coalesce((SELECT max(seq) FROM copy.${table}), 0) ORDER BY seq LIMIT ${ROWS_AT_ONCE}`,
      ),
    );
    // Every table has its turn, even when the first one has more rows.
    const copyRows = (): boolean => logs.map((log) => log.run().changes === 0).every(Boolean);
    const newest = (schema: string): number => {
      const row = db.prepare(`SELECT coalesce(max(seq), 0) AS seq FROM ${schema}.publication`).get();
      return (row as { seq: number }).seq;
    };
    const newestAtStart = newest('main');
    let sliceMs = SLICE_MS;
    for (let slices = 1; !copySlice(db, copyRows, sliceMs); slices++) {
      if (isStopped()) throw new Error('the service is stopping');
      // Rows that came meanwhile are copied in longer and longer slices. Otherwise a busy store would never be caught up with.
      if (newest('copy') >= newestAtStart) sliceMs *= 2;
      // Written all at the end, the copy would hold up the writes of commits.
      if (slices % SLICES_PER_SYNC === 0) await handle.sync();
      await delay(SLICE_MS);
    }
  } finally {
    db.exec('DETACH copy');
  }
}

/** True when all rows are copied. The other tables are then copied in the same transaction. */
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
