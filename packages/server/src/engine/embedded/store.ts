/**
 * The durable log: one SQLite file in WAL mode, owned by one process and one thread. A commit is on disk when
 * `commit` returns; a torn or unfinished one is undone by SQLite when the file is opened again.
 *
 *     channel      id · name · epoch · offset, floor as of its last deletion
 *     publication  seq (order of the whole store) · channel · offset · … · body
 *     receipt      answers to publishes that may be repeated, by seq
 *     ancestor     epochs that a store that was put back continues (lineage.ts)
 *
 * The table is log-shaped, so that appending touches its last page only; the index on (channel, offset) holds
 * the size too, which makes the sums at opening cheap. `channel.offset` is written by deletions alone: while a
 * channel's newest row is there, the row says it.
 */
import { mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { ANCESTOR_TABLE, beginNewEpochs, isCopy, markAsCopy, readAncestors } from './lineage.ts';
import { copyStore } from './store-copy.ts';
import {
  type CommitReply,
  type CommitRequest,
  type Deletion,
  type LocateRequest,
  type OpenReply,
  type PageReply,
  type RangeRequest,
  type ReadRequest,
  ROW_NUMBERS,
  ROW_STRINGS,
  type StoredReceipt,
  type SweepReply,
  type SweepRequest,
} from './store-protocol.ts';

export const SCHEMA_VERSION = 1;
const SCHEMA = `
  CREATE TABLE channel (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    epoch TEXT NOT NULL,
    offset INTEGER NOT NULL DEFAULT 0,
    floor INTEGER NOT NULL DEFAULT 0,
    published_ms INTEGER NOT NULL DEFAULT 0
  );
  CREATE TABLE publication (
    seq INTEGER PRIMARY KEY,
    channel INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    expires_ms INTEGER,
    own_ttl INTEGER NOT NULL,
    size INTEGER NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    extra TEXT,
    body BLOB NOT NULL
  );
  CREATE INDEX publication_place ON publication (channel, offset, size);
  CREATE INDEX publication_expiry ON publication (expires_ms) WHERE expires_ms IS NOT NULL;
  CREATE TABLE receipt (
    seq INTEGER PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    places TEXT NOT NULL
  );
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

const ROW_COLUMNS = 'seq, channel, offset, time_ms, expires_ms, own_ttl, size, id, type, extra, body';

interface Row {
  readonly seq: number;
  readonly channel: number;
  readonly offset: number;
  readonly time_ms: number;
  readonly expires_ms: number | null;
  readonly own_ttl: number;
  readonly size: number;
  readonly id: string;
  readonly type: string;
  readonly extra: string | null;
  readonly body: Uint8Array;
}

type DeletedRow = Pick<Row, 'channel' | 'offset' | 'expires_ms' | 'own_ttl' | 'size' | 'time_ms'>;

export class Store {
  readonly #db: DatabaseSync;
  readonly #insertChannel: StatementSync;
  readonly #insertRow: StatementSync;
  readonly #insertReceipt: StatementSync;
  readonly #deleteUpTo: StatementSync;
  readonly #deleteExpired: StatementSync;
  readonly #deleteOldest: StatementSync;
  readonly #noteDeletion: StatementSync;
  readonly #seek: StatementSync;
  /** One per channel of a page: each is an open iterator while the page is merged. */
  readonly #readers: StatementSync[] = [];

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#insertChannel = db.prepare('INSERT INTO channel (id, name, epoch) VALUES (?, ?, ?)');
    this.#insertRow = db.prepare(`INSERT INTO publication (${ROW_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?)`);
    this.#insertReceipt = db.prepare('INSERT INTO receipt VALUES (?, ?, ?, ?, ?)');
    const returning = 'RETURNING channel, offset, expires_ms, own_ttl, size, time_ms';
    this.#deleteUpTo = db.prepare(`DELETE FROM publication WHERE channel = ? AND offset <= ? ${returning}`);
    this.#deleteExpired = db.prepare(
      `DELETE FROM publication WHERE seq IN
         (SELECT seq FROM publication WHERE expires_ms <= ? ORDER BY expires_ms LIMIT ?) ${returning}`,
    );
    this.#deleteOldest = db.prepare(
      `DELETE FROM publication WHERE seq IN (SELECT seq FROM publication ORDER BY seq LIMIT ?) ${returning}`,
    );
    this.#noteDeletion = db.prepare(
      `UPDATE channel SET offset = max(offset, ?), floor = max(floor, ?), published_ms = max(published_ms, ?)
       WHERE id = ?`,
    );
    this.#seek = db.prepare(
      `SELECT offset, time_ms FROM publication WHERE channel = ? AND offset >= ? ORDER BY offset LIMIT 1`,
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

  /** Merges the channels by seq, reading no more rows than the page holds and one ahead per channel. */
  read({ from, maxBytes, nowMs }: ReadRequest): PageReply {
    const page = new PageBuilder();
    const reached = from.map((f) => f.offset);
    const lostTo = from.map(() => 0);
    const iterators = from.map((f, i) => this.#reader(i).iterate(f.channel, f.offset));
    const heads: (Row | undefined)[] = [];
    const advance = (i: number): void => {
      for (;;) {
        const next = iterators[i]?.next();
        const row = next === undefined || next.done ? undefined : (next.value as unknown as Row);
        heads[i] = row;
        if (row === undefined) {
          reached[i] = -1;
          return;
        }
        if (row.expires_ms === null || row.expires_ms > nowMs) return;
        // Run out, though the sweep has not come to it yet.
        reached[i] = row.offset;
        if (row.own_ttl === 0) lostTo[i] = row.offset;
      }
    };
    try {
      for (let i = 0; i < from.length; i++) advance(i);
      for (;;) {
        let best = -1;
        for (let i = 0; i < heads.length; i++) {
          const row = heads[i];
          if (row !== undefined && (best < 0 || row.seq < (heads[best] as Row).seq)) best = i;
        }
        if (best < 0) break;
        const row = heads[best] as Row;
        if (page.rows > 0 && page.bytes + row.size > maxBytes) break;
        page.add(best, row);
        reached[best] = row.offset;
        advance(best);
      }
    } finally {
      for (const iterator of iterators) iterator.return?.();
    }
    return page.finish(reached, lostTo);
  }

  range({ channel, from, to, limit, maxBytes, reverse, nowMs }: RangeRequest): PageReply {
    const statement = this.#db.prepare(
      `SELECT ${ROW_COLUMNS} FROM publication WHERE channel = ? AND offset BETWEEN ? AND ?
         AND (expires_ms IS NULL OR expires_ms > ?) ORDER BY offset ${reverse ? 'DESC' : 'ASC'} LIMIT ?`,
    );
    const page = new PageBuilder();
    for (const value of statement.iterate(channel, from, to, nowMs, limit)) {
      const row = value as unknown as Row;
      if (page.rows > 0 && page.bytes + row.size > maxBytes) break;
      page.add(0, row);
    }
    return page.finish([], []);
  }

  /** The newest offset whose entry is older than `sinceMs`; 0 when none is. Times rise with offsets. */
  locate({ channel, sinceMs }: LocateRequest): number {
    let low = 0;
    const last = this.#db
      .prepare('SELECT max(offset) AS offset FROM publication WHERE channel = ?')
      .get(channel) as { offset: number | null } | undefined;
    let high = last?.offset ?? 0;
    // Invariant: entries up to `low` are older, entries after `high` are not.
    while (low < high) {
      const middle = Math.floor((low + high) / 2) + 1;
      const row = this.#seek.get(channel, middle) as { offset: number; time_ms: number } | undefined;
      if (row !== undefined && row.time_ms < sinceMs) low = row.offset;
      else high = middle - 1;
    }
    return low;
  }

  sweep(request: SweepRequest): SweepReply {
    const { nowMs, evictBytes, receiptsBeforeMs, forgetChannels, maxRows } = request;
    return this.#transaction(() => {
      const expiredRows = this.#deleteExpired.all(nowMs, maxRows) as unknown as DeletedRow[];
      const expired = this.#noteDeletions(expiredRows, nowMs);
      const evictedRows: DeletedRow[] = [];
      let freed = 0;
      while (freed < evictBytes && evictedRows.length < maxRows) {
        const rows = this.#deleteOldest.all(64) as unknown as DeletedRow[];
        if (rows.length === 0) break;
        for (const row of rows) {
          freed += row.size;
          evictedRows.push(row);
        }
      }
      const evicted = this.#noteDeletions(evictedRows, nowMs);
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
      return {
        expired,
        evicted,
        hasMore: expiredRows.length === maxRows || (freed < evictBytes && evictedRows.length >= maxRows),
      };
    });
  }

  /** Everything that the engine keeps in memory, and no body. */
  load(receiptsSinceMs: number): Omit<OpenReply, 'setAside'> {
    const channels = this.#db
      .prepare(
        `SELECT c.id, c.name, c.epoch, c.floor, max(c.offset, coalesce(p.last, 0)) AS offset,
                coalesce(p.rows, 0) AS rows, coalesce(p.bytes, 0) AS bytes, coalesce(p.first, 0) AS first,
                max(c.published_ms, coalesce((SELECT time_ms FROM publication
                  WHERE channel = c.id ORDER BY offset DESC LIMIT 1), 0)) AS lastPublishedMs
         FROM channel c LEFT JOIN (
           SELECT channel, count(*) AS rows, sum(size) AS bytes, min(offset) AS first, max(offset) AS last
           FROM publication GROUP BY channel) p ON p.channel = c.id`,
      )
      .all() as unknown as OpenReply['channels'];
    const ancestors = readAncestors(this.#db, channels);
    const lastSeq = this.#db
      .prepare(
        `SELECT max(coalesce((SELECT max(seq) FROM publication), 0),
                    coalesce((SELECT max(seq) FROM receipt), 0)) AS seq`,
      )
      .get() as { seq: number };
    const receipts = this.#db
      .prepare('SELECT seq, time_ms AS timeMs, id, fingerprint, places FROM receipt WHERE time_ms >= ?')
      .all(receiptsSinceMs) as unknown as StoredReceipt[];
    return {
      channels: channels.map((channel) => {
        const own = ancestors.get(channel.id);
        return own === undefined ? channel : { ...channel, ancestors: own };
      }),
      lastSeq: lastSeq.seq,
      receipts,
    };
  }

  /** Into an empty file, while the store goes on: what is committed meanwhile is in the copy too. */
  copyTo(file: string, isStopped: () => boolean): Promise<void> {
    const createTables = (copy: DatabaseSync): void => {
      copy.exec(`BEGIN IMMEDIATE; ${SCHEMA} ${ANCESTOR_TABLE} COMMIT;`);
      markAsCopy(copy);
    };
    return copyStore(this.#db, file, { createTables, isStopped });
  }

  close(): void {
    this.#db.close();
  }

  #reader(index: number): StatementSync {
    let reader = this.#readers[index];
    if (reader === undefined) {
      reader = this.#db.prepare(
        `SELECT ${ROW_COLUMNS} FROM publication WHERE channel = ? AND offset > ? ORDER BY offset`,
      );
      this.#readers[index] = reader;
    }
    return reader;
  }

  #noteDeletions(rows: readonly DeletedRow[], nowMs: number): Deletion[] {
    const byChannel = new Map<
      number,
      { rows: number; bytes: number; lostTo: number; last: number; ms: number }
    >();
    for (const row of rows) {
      let sum = byChannel.get(row.channel);
      if (sum === undefined) {
        sum = { rows: 0, bytes: 0, lostTo: 0, last: 0, ms: 0 };
        byChannel.set(row.channel, sum);
      }
      sum.rows++;
      sum.bytes += row.size;
      sum.last = Math.max(sum.last, row.offset);
      sum.ms = Math.max(sum.ms, row.time_ms);
      // A ttl of its own excuses a message once it has run out, and not before.
      const isExcused = row.own_ttl === 1 && row.expires_ms !== null && row.expires_ms <= nowMs;
      if (!isExcused) sum.lostTo = Math.max(sum.lostTo, row.offset);
    }
    const deletions: Deletion[] = [];
    for (const [channel, sum] of byChannel) {
      this.#noteDeletion.run(sum.last, sum.lostTo, sum.ms, channel);
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

class PageBuilder {
  readonly #numbers: number[] = [];
  readonly #strings: string[] = [];
  readonly #bodies: Uint8Array[] = [];
  rows = 0;
  bytes = 0;

  add(index: number, row: Row): void {
    this.#numbers.push(index, row.seq, row.offset, row.time_ms, row.body.length);
    this.#strings.push(row.id, row.type, row.extra ?? '');
    this.#bodies.push(row.body);
    this.rows++;
    this.bytes += row.body.length;
  }

  finish(reached: readonly number[], lostTo: readonly number[]): PageReply {
    const bodies = new Uint8Array(this.bytes);
    let end = 0;
    for (const body of this.#bodies) {
      bodies.set(body, end);
      end += body.length;
    }
    return { numbers: Float64Array.from(this.#numbers), strings: this.#strings, bodies, reached, lostTo };
  }
}

export const FILE_NAME = 'messages.db';

/**
 * Opens the store in `directory`. A file that SQLite cannot read is set aside under another name, never
 * deleted, and a new log begins: every stream with a cursor then gets a gap, none gets wrong data.
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

/** Renames the file, with what it left in its log, and returns its new name. */
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
    const { user_version: version } = db.prepare('PRAGMA user_version').get() as { user_version: number };
    if (version === 0) db.exec(`BEGIN IMMEDIATE; ${SCHEMA} ${ANCESTOR_TABLE} COMMIT;`);
    else if (version !== SCHEMA_VERSION) {
      throw new Error(`${file} has schema version ${version}; this program reads version ${SCHEMA_VERSION}`);
    } else db.exec(`BEGIN IMMEDIATE; ${ANCESTOR_TABLE} COMMIT;`);
    // Put here by hand: what it does not have is not known.
    if (isCopy(db)) beginNewEpochs(db, () => true);
    const store = new Store(db);
    return { store, opened: { ...store.load(receiptsSinceMs), setAside } };
  } catch (error) {
    db.close();
    throw error;
  }
}

const SQLITE_BUSY = 5;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_IOERR = 10;
const SQLITE_NOTADB = 26;

function primaryCode(error: unknown): number | undefined {
  const code = (error as { errcode?: unknown }).errcode;
  return typeof code === 'number' ? code & 0xff : undefined;
}

export function isCorrupt(error: unknown): boolean {
  const code = primaryCode(error);
  return code === SQLITE_CORRUPT || code === SQLITE_NOTADB;
}

/** No room, or a quota or file-size limit, which reaches SQLite as an I/O error of the write. */
export function isFull(error: unknown): boolean {
  const code = primaryCode(error);
  return code === SQLITE_FULL || code === SQLITE_IOERR;
}

export function isBusy(error: unknown): boolean {
  return primaryCode(error) === SQLITE_BUSY;
}
