/**
 * The requests and replies between the engine and its store thread. Rows travel in columns, with all bodies in one
 * transferred buffer: a structured clone of one object per row would cost more than storing the row.
 */

import type { Backup } from '../../../core/backups.ts';
import type { Ancestor } from '../../../core/engine.ts';

/** Numbers per row in `CommitRequest.numbers`. */
export const ROW_NUMBERS = 7;
/** seq · channel id · offset · time ms · expires ms (0 for never) · own ttl (1 or 0) · bytes of body */
export type RowNumbers = Float64Array<ArrayBuffer>;
/** Strings per row: message id · type · extra (JSON of `RowExtra`, or empty). */
export const ROW_STRINGS = 3;

/** What few rows have: more channels than their own, and excluded connections. */
export interface RowExtra {
  readonly channels?: readonly string[];
  readonly exclude?: readonly string[];
}

export interface StoredReceipt {
  readonly seq: number;
  readonly timeMs: number;
  readonly id: string;
  readonly fingerprint: string;
  /** JSON of the places. */
  readonly places: string;
}

export interface CommitRequest {
  readonly op: 'commit';
  readonly newChannels: readonly { id: number; name: string; epoch: string }[];
  readonly numbers: RowNumbers;
  readonly strings: readonly string[];
  readonly bodies: Uint8Array<ArrayBuffer>;
  readonly receipts: readonly StoredReceipt[];
  /** Channels to trim in the same transaction, each up to an offset. */
  readonly trims: readonly { channel: number; upTo: number }[];
  readonly nowMs: number;
}

/** What was deleted from one channel. */
export interface Deletion {
  readonly channel: number;
  readonly rows: number;
  readonly bytes: number;
  /** Newest deleted offset, except for rows that had outlived a ttl of their own; 0 when there is none. */
  readonly lostTo: number;
}

export interface CommitReply {
  readonly deletions: readonly Deletion[];
  readonly seconds: number;
}

export interface ReadRequest {
  readonly op: 'read';
  readonly from: readonly { channel: number; offset: number }[];
  readonly maxBytes: number;
  readonly nowMs: number;
}

/** Numbers per row in a page: index of the requested channel · seq · offset · time ms · bytes of body. */
export const PAGE_NUMBERS = 5;

export interface PageReply {
  readonly numbers: Float64Array<ArrayBuffer>;
  /** As in a commit. */
  readonly strings: readonly string[];
  readonly bodies: Uint8Array<ArrayBuffer>;
  /** For each requested channel, the offset that the page reaches; -1 when that is the newest. */
  readonly reached: readonly number[];
  /** For each requested channel, the newest offset that was found to be lost because it has expired; 0 when none is. */
  readonly lostTo: readonly number[];
}

export interface RangeRequest {
  readonly op: 'range';
  readonly channel: number;
  readonly from: number;
  readonly to: number;
  readonly limit: number;
  readonly maxBytes: number;
  readonly reverse: boolean;
  readonly nowMs: number;
}

export interface LocateRequest {
  readonly op: 'locate';
  readonly channel: number;
  readonly sinceMs: number;
}

export interface SweepRequest {
  readonly op: 'sweep';
  readonly nowMs: number;
  /** Bytes to free by deleting the oldest rows, beside those that have expired. */
  readonly evictBytes: number;
  readonly receiptsBeforeMs: number;
  readonly forgetChannels: readonly number[];
  readonly maxRows: number;
}

export interface SweepReply {
  readonly expired: readonly Deletion[];
  readonly evicted: readonly Deletion[];
  /** True when more than `maxRows` have to go. */
  readonly hasMore: boolean;
}

export interface BackupRequest {
  readonly op: 'backup';
  readonly nowMs: number;
}

export interface OpenReply {
  readonly channels: readonly {
    id: number;
    name: string;
    epoch: string;
    /** Newest offset that was ever given out. */
    offset: number;
    floor: number;
    rows: number;
    bytes: number;
    /** Lowest offset in history; 0 when there is none. */
    first: number;
    lastPublishedMs: number;
    ancestors?: readonly Ancestor[];
  }[];
  readonly lastSeq: number;
  readonly receipts: readonly StoredReceipt[];
  /** New name of a store that could not be read; `undefined` when it could. */
  readonly setAside: string | undefined;
}

export type StoreRequest =
  | CommitRequest
  | ReadRequest
  | RangeRequest
  | LocateRequest
  | SweepRequest
  | BackupRequest;

export interface StoreReplies {
  commit: CommitReply;
  read: PageReply;
  range: PageReply;
  locate: number;
  sweep: SweepReply;
  backup: Backup;
}

/** Kinds of failure that the engine tells apart. */
export type StoreFailure = 'full' | 'corrupt' | 'failed';
