/**
 * What the engine knows about every channel without asking the store: the newest offset, what was lost, how much is
 * there. It changes only when the store has said that a change is on disk, so no reader sees an offset that a crash
 * could take back.
 */
import { unbornPosition } from '@message-push/protocol';
import { compareNames } from '../../core/compare-names.ts';
import type { Ancestor, ChannelSummary, LogState } from '../../core/engine.ts';
import { newEpoch } from './store/epoch.ts';
import type { Deletion, OpenReply } from './store/store-protocol.ts';

export interface ChannelLog {
  readonly id: number;
  readonly name: string;
  readonly epoch: string;
  /** Newest offset on disk. */
  offset: number;
  /** Offsets given out in the commit that is under way. */
  pending: number;
  /** Newest offset that was deleted, except for entries that had outlived a ttl of their own. */
  floor: number;
  /** The store has no row below this offset. */
  first: number;
  rows: number;
  bytes: number;
  lastPublishedMs: number;
  /** Earlier epochs. Absent unless the store was restored from a copy. */
  readonly ancestors?: readonly Ancestor[];
}

export interface ChannelBounds {
  readonly maxMessages: number;
  readonly maxBytes: number;
}

/** Rows are trimmed in batches, because deleting one for each publish would double the work. Some stay above the bound. */
const MIN_TRIM_ROWS = 64;
const MAX_TRIM_ROWS = 1024;

export class ChannelLogs {
  readonly #bounds: ChannelBounds;
  readonly #byName = new Map<string, ChannelLog>();
  readonly #byId = new Map<number, ChannelLog>();
  #lastId = 0;
  rows = 0;
  bytes = 0;

  constructor(bounds: ChannelBounds) {
    this.#bounds = bounds;
  }

  load(opened: OpenReply['channels']): void {
    for (const c of opened) {
      const log = { ...c, pending: 0, first: c.first || c.offset + 1 };
      this.#byName.set(c.name, log);
      this.#byId.set(c.id, log);
      this.#lastId = Math.max(this.#lastId, c.id);
      this.rows += c.rows;
      this.bytes += c.bytes;
    }
  }

  get size(): number {
    return this.#byName.size;
  }

  get(name: string): ChannelLog | undefined {
    return this.#byName.get(name);
  }

  byId(id: number): ChannelLog | undefined {
    return this.#byId.get(id);
  }

  all(): IterableIterator<ChannelLog> {
    return this.#byName.values();
  }

  create(name: string): ChannelLog {
    const log: ChannelLog = {
      id: ++this.#lastId,
      name,
      epoch: newEpoch(),
      offset: 0,
      pending: 0,
      floor: 0,
      first: 1,
      rows: 0,
      bytes: 0,
      lastPublishedMs: 0,
    };
    this.#byName.set(name, log);
    this.#byId.set(log.id, log);
    return log;
  }

  remove(log: ChannelLog): void {
    this.#byName.delete(log.name);
    this.#byId.delete(log.id);
  }

  appended(log: ChannelLog, bytes: number, timeMs: number): void {
    log.offset++;
    log.rows++;
    log.bytes += bytes;
    log.lastPublishedMs = timeMs;
    this.rows++;
    this.bytes += bytes;
  }

  /** Returns the number of rows. */
  deleted(deletions: readonly Deletion[]): number {
    let rows = 0;
    for (const deletion of deletions) {
      rows += deletion.rows;
      const log = this.#byId.get(deletion.channel);
      if (log === undefined) continue;
      log.rows -= deletion.rows;
      log.bytes -= deletion.bytes;
      log.floor = Math.max(log.floor, deletion.lostTo);
      this.rows -= deletion.rows;
      this.bytes -= deletion.bytes;
    }
    return rows;
  }

  /** Channels with history whose name starts with `prefix`, sorted by name, after `after`. */
  list(
    { prefix, after, limit }: { prefix: string; after: string; limit: number },
    nowMs: number,
  ): { total: number; channels: ChannelSummary[] } {
    const found: ChannelLog[] = [];
    let total = 0;
    for (const log of this.#byName.values()) {
      if (log.rows === 0 || !log.name.startsWith(prefix)) continue;
      total++;
      if (compareNames(log.name, after) > 0) found.push(log);
    }
    found.sort((a, b) => compareNames(a.name, b.name));
    return { total, channels: found.slice(0, limit).map((log) => this.#summary(log, nowMs)) };
  }

  /** The log as readers see it. The bound by count holds for them at once, whenever the rows are deleted. */
  stateOf(name: string, nowMs: number): LogState {
    const log = this.#byName.get(name);
    if (log === undefined || log.offset === 0) return { ...unbornPosition(nowMs), floor: 0 };
    const floor = Math.max(log.floor, log.offset - this.#bounds.maxMessages);
    const { epoch, offset, ancestors } = log;
    return ancestors === undefined ? { epoch, offset, floor } : { epoch, offset, floor, ancestors };
  }

  /** The offset up to which rows should be deleted now, or 0. The number of rows is bounded, so that no commit stalls. */
  dueTrim(log: ChannelLog): number {
    const { maxMessages, maxBytes } = this.#bounds;
    const slack = Math.max(MIN_TRIM_ROWS, Math.floor(maxMessages / 64));
    const excess = log.offset - maxMessages - log.first + 1;
    let upTo = excess > slack ? log.offset - maxMessages : 0;
    if (log.bytes > maxBytes && log.rows > 1) {
      // Rows are taken to be of equal size. The next commit finds what is still too much.
      const tooMany = Math.ceil((log.rows * (log.bytes - maxBytes)) / log.bytes);
      upTo = Math.max(upTo, Math.min(log.first - 1 + tooMany, log.offset - 1));
    }
    return upTo === 0 ? 0 : Math.min(upTo, log.first - 1 + MAX_TRIM_ROWS);
  }

  #summary(log: ChannelLog, nowMs: number): ChannelSummary {
    return {
      channel: log.name,
      ...this.stateOf(log.name, nowMs),
      messages: Math.min(log.rows, this.#bounds.maxMessages),
      bytes: log.bytes,
      lastPublishedMs: log.lastPublishedMs,
    };
  }
}
