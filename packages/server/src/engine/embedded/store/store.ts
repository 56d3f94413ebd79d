/**
 * The durable log: one SQLite file in WAL mode, owned by one process and one thread. A commit is on disk when
 * `commit` returns; SQLite undoes a torn or unfinished one when the file is opened again. `schema.ts` has the tables.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { type DeletedRow, RETURNING_DELETED, sumDeletions } from './deletions.ts';
import { markAsCopy } from './lineage.ts';
import { createTables, PUBLICATION_COLUMNS } from './schema.ts';
import { copyStore } from './store-copy.ts';
import {
  type CommitReply,
  type CommitRequest,
  type Deletion,
  ROW_NUMBERS,
  ROW_STRINGS,
  type SweepReply,
  type SweepRequest,
} from './store-protocol.ts';
import { StoreReader } from './store-reader.ts';

const EVICT_ROWS_AT_ONCE = 64;

export class Store {
  readonly reader: StoreReader;
  readonly #db: DatabaseSync;
  readonly #insertChannel: StatementSync;
  readonly #insertRow: StatementSync;
  readonly #insertReceipt: StatementSync;
  readonly #deleteUpTo: StatementSync;
  readonly #deleteExpired: StatementSync;
  readonly #deleteOldest: StatementSync;
  readonly #noteDeletion: StatementSync;

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.reader = new StoreReader(db);
    this.#insertChannel = db.prepare('INSERT INTO channel (id, name, epoch) VALUES (?, ?, ?)');
    this.#insertRow = db.prepare(
      `INSERT INTO publication (${PUBLICATION_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?)`,
    );
    this.#insertReceipt = db.prepare('INSERT INTO receipt VALUES (?, ?, ?, ?, ?)');
    this.#deleteUpTo = db.prepare(
      `DELETE FROM publication WHERE channel = ? AND offset <= ? ${RETURNING_DELETED}`,
    );
    this.#deleteExpired = db.prepare(
      `DELETE FROM publication WHERE seq IN
         (SELECT seq FROM publication WHERE expires_ms <= ? ORDER BY expires_ms LIMIT ?) ${RETURNING_DELETED}`,
    );
    this.#deleteOldest = db.prepare(
      `DELETE FROM publication WHERE seq IN
         (SELECT seq FROM publication ORDER BY seq LIMIT ?) ${RETURNING_DELETED}`,
    );
    this.#noteDeletion = db.prepare(
      `UPDATE channel SET offset = max(offset, ?), floor = max(floor, ?), published_ms = max(published_ms, ?)
       WHERE id = ?`,
    );
  }

  /** Appends all rows or none. Throws SQLite's error; nothing is stored then. */
  commit(request: CommitRequest): CommitReply {
    const started = performance.now();
    const deletions = this.#transaction(() => {
      for (const { id, name, epoch } of request.newChannels) this.#insertChannel.run(id, name, epoch);
      this.#append(request);
      for (const r of request.receipts) {
        this.#insertReceipt.run(r.seq, r.timeMs, r.id, r.fingerprint, r.places);
      }
      const rows: DeletedRow[] = [];
      for (const { channel, upTo } of request.trims) {
        for (const row of this.#deleteUpTo.all(channel, upTo)) rows.push(row as unknown as DeletedRow);
      }
      return this.#noteDeletions(rows, request.nowMs);
    });
    return { deletions, seconds: (performance.now() - started) / 1000 };
  }

  #append({ numbers, strings, bodies }: CommitRequest): void {
    let bodyStart = 0;
    for (let n = 0, s = 0; n < numbers.length; n += ROW_NUMBERS, s += ROW_STRINGS) {
      const size = numbers[n + 6] as number;
      this.#insertRow.run(
        numbers[n] as number,
        numbers[n + 1] as number,
        numbers[n + 2] as number,
        numbers[n + 3] as number,
        numbers[n + 4] || null,
        numbers[n + 5] as number,
        size,
        strings[s] as string,
        strings[s + 1] as string,
        strings[s + 2] || null,
        bodies.subarray(bodyStart, bodyStart + size),
      );
      bodyStart += size;
    }
  }

  /** Deletes a bounded number of rows that have to go, so that commits and reads have their turn in between. */
  sweep(request: SweepRequest): SweepReply {
    const { nowMs, evictBytes, maxRows } = request;
    return this.#transaction(() => {
      const expiredRows = this.#deleteExpired.all(nowMs, maxRows) as unknown as DeletedRow[];
      const expired = this.#noteDeletions(expiredRows, nowMs);
      const evictedRows = this.#evict(evictBytes, maxRows);
      const evicted = this.#noteDeletions(evictedRows, nowMs);
      this.#forget(request);
      const isFull = evictedRows.length >= maxRows;
      const freed = evictedRows.reduce((sum, { size }) => sum + size, 0);
      return {
        expired,
        evicted,
        hasMore: expiredRows.length === maxRows || (freed < evictBytes && isFull),
      };
    });
  }

  /** Deletes the oldest rows of the store until so many bytes are free. */
  #evict(bytes: number, maxRows: number): DeletedRow[] {
    const evicted: DeletedRow[] = [];
    let freed = 0;
    while (freed < bytes && evicted.length < maxRows) {
      const rows = this.#deleteOldest.all(EVICT_ROWS_AT_ONCE) as unknown as DeletedRow[];
      if (rows.length === 0) break;
      for (const row of rows) {
        freed += row.size;
        evicted.push(row);
      }
    }
    return evicted;
  }

  #forget({ receiptsBeforeMs, forgetChannels, maxRows }: SweepRequest): void {
    this.#db
      .prepare(
        'DELETE FROM receipt WHERE seq IN (SELECT seq FROM receipt WHERE time_ms < ? ORDER BY seq LIMIT ?)',
      )
      .run(receiptsBeforeMs, maxRows);
    const forget = this.#db.prepare('DELETE FROM channel WHERE id = ?');
    const forgetAncestors = this.#db.prepare('DELETE FROM ancestor WHERE channel = ?');
    for (const id of forgetChannels) {
      forget.run(id);
      forgetAncestors.run(id);
    }
  }

  /** Copies the store into an empty file while it goes on. What is committed meanwhile is in the copy too. */
  copyTo(file: string, isStopped: () => boolean): Promise<void> {
    const prepare = (copy: DatabaseSync): void => {
      createTables(copy);
      markAsCopy(copy);
    };
    return copyStore(this.#db, file, { createTables: prepare, isStopped });
  }

  close(): void {
    this.#db.close();
  }

  #noteDeletions(rows: readonly DeletedRow[], nowMs: number): Deletion[] {
    const deletions: Deletion[] = [];
    for (const [channel, sum] of sumDeletions(rows, nowMs)) {
      this.#noteDeletion.run(sum.lastOffset, sum.lostTo, sum.lastTimeMs, channel);
      deletions.push({ channel, rows: sum.rows, bytes: sum.bytes, lostTo: sum.lostTo });
    }
    return deletions;
  }

  #transaction<T>(work: () => T): T {
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#db.exec('COMMIT');
      return result;
    } catch (error) {
      // A full disk may have rolled back already.
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
      throw error;
    }
  }
}
