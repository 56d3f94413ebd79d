/**
 * The tables of the store, one SQLite file.
 *
 *     channel      id · name · epoch · offset, floor as of its last deletion
 *     publication  seq (order of the whole store) · channel · offset · … · body
 *     receipt      answers to publishes that may be repeated, by seq
 *     ancestor     epochs that a restored store continues (lineage.ts)
 *
 * `publication` is log-shaped, so that appending touches its last page only. The index on (channel, offset) holds
 * the size too, which makes the sums at opening cheap. `channel.offset` is written by deletions alone: as long as a
 * channel's newest row is there, the row tells the newest offset.
 */
import type { DatabaseSync } from 'node:sqlite';

export const SCHEMA_VERSION = 1;

const TABLES = `
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

/**
 * Stores of earlier programs have no such table; it is created wherever it is missing. A row leads from an epoch to
 * the one before it. The key names the epoch and not the channel alone, because ids of channels are used again and
 * an older program that forgets a channel leaves its rows.
 */
export const ANCESTOR_TABLE = `
  CREATE TABLE IF NOT EXISTS ancestor (
    channel INTEGER NOT NULL,
    next_epoch TEXT NOT NULL,
    epoch TEXT NOT NULL,
    up_to INTEGER NOT NULL,
    is_lossy INTEGER NOT NULL,
    PRIMARY KEY (channel, next_epoch)
  ) WITHOUT ROWID;
`;

export function createTables(db: DatabaseSync): void {
  db.exec(`BEGIN IMMEDIATE; ${TABLES} ${ANCESTOR_TABLE} COMMIT;`);
}

export function ensureAncestorTable(db: DatabaseSync): void {
  db.exec(`BEGIN IMMEDIATE; ${ANCESTOR_TABLE} COMMIT;`);
}

export const PUBLICATION_COLUMNS =
  'seq, channel, offset, time_ms, expires_ms, own_ttl, size, id, type, extra, body';

/** A row of `publication`, with `PUBLICATION_COLUMNS`. */
export interface PublicationRow {
  readonly seq: number;
  readonly channel: number;
  readonly offset: number;
  readonly time_ms: number;
  /** `null` when it does not expire. */
  readonly expires_ms: number | null;
  /** 1 when the publisher chose the ttl. */
  readonly own_ttl: number;
  readonly size: number;
  readonly id: string;
  readonly type: string;
  /** JSON of `RowExtra`; `null` when there is none. */
  readonly extra: string | null;
  readonly body: Uint8Array;
}
