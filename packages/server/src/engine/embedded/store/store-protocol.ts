/**
 * What the engine and its store thread say to each other. Rows travel in columns, with all bodies in one buffer
 * that changes hands: a structured clone of one object per row would cost more than storing the row.
 */

import type { Backup } from '../../../core/backups.ts';
import type { Ancestor } from '../../../core/engine.ts';

/** Numbers per row in `CommitRequest.numbers`. */
export const ROW_NUMBERS = 7;
/** seq · channel id · offset · time ms · expires ms (0: never) · own ttl (1 or 0) · bytes of body */
export type RowNumbers = Float64Array<ArrayBuffer>;
/** Strings per row: message id · type · extra (JSON of `RowExtra`, or empty). */
export const ROW_STRINGS = 3;

/** What few rows have: more channels than their own, excluded connections. */
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
  /** Channels to trim in the same transaction: delete up to this offset. */
  readonly trims: readonly { channel: number; upTo: number }[];
  readonly nowMs: number;
}

/** What a deletion did to one channel. `lostTo`: newest deleted offset, but for those whose own ttl had run out. */
export interface Deletion {
  readonly channel: number;
  readonly rows: number;
  readonly bytes: number;
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

/** Numbers per row in a page: index of the asked channel · seq · offset · time ms · bytes of body. */
export const PAGE_NUMBERS = 5;

export interface PageReply {
  readonly numbers: Float64Array<ArrayBuffer>;
  /** As in a commit. */
  readonly strings: readonly string[];
  readonly bodies: Uint8Array<ArrayBuffer>;
  /** Per asked channel: how far the page reaches, or -1 for "to the newest"; and what is found to have expired. */
  readonly reached: readonly number[];
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
  /** Delete expired rows, and the oldest rows whatever their age while more than this many bytes are wanted. */
  readonly evictBytes: number;
  readonly receiptsBeforeMs: number;
  readonly forgetChannels: readonly number[];
  readonly maxRows: number;
}

export interface SweepReply {
  readonly expired: readonly Deletion[];
  readonly evicted: readonly Deletion[];
  /** More is due than `maxRows`. */
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
    /** Newest offset ever given. */
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
  /** The name under which an unreadable store was set aside. */
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

/** Failures that the engine treats differently; anything else is `failed`. */
export type StoreFailure = 'full' | 'corrupt' | 'failed';
