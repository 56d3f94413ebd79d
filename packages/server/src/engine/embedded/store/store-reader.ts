/** Reads history from the store: several channels merged, one channel's range, the offset at a time. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { PageBuilder } from './page-builder.ts';
import { PUBLICATION_COLUMNS, type PublicationRow } from './schema.ts';
import type { LocateRequest, PageReply, RangeRequest, ReadRequest } from './store-protocol.ts';

export class StoreReader {
  readonly #db: DatabaseSync;
  readonly #seek: StatementSync;
  /** One per channel of a page: each is an open iterator while the page is merged. */
  readonly #readers: StatementSync[] = [];

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#seek = db.prepare(
      `SELECT offset, time_ms FROM publication WHERE channel = ? AND offset >= ? ORDER BY offset LIMIT 1`,
    );
  }

  /** Merges the channels by seq. Reads no more rows than the page holds, and one ahead per channel. */
  read({ from, maxBytes, nowMs }: ReadRequest): PageReply {
    const page = new PageBuilder(maxBytes);
    const heads = from.map(({ channel, offset }, i) => {
      const rows = this.#reader(i).iterate(channel, offset) as Iterator<unknown> as Iterator<PublicationRow>;
      return new ChannelHead(rows, offset, nowMs);
    });
    try {
      for (const head of heads) head.advance();
      for (;;) {
        const next = oldest(heads);
        const row = heads[next]?.row;
        if (row === undefined || !page.hasRoomFor(row)) break;
        page.add(next, row);
        (heads[next] as ChannelHead).pass();
      }
    } finally {
      for (const head of heads) head.close();
    }
    return page.finish(
      heads.map(({ reached }) => reached),
      heads.map(({ lostTo }) => lostTo),
    );
  }

  range({ channel, from, to, limit, maxBytes, reverse, nowMs }: RangeRequest): PageReply {
    const statement = this.#db.prepare(
      `SELECT ${PUBLICATION_COLUMNS} FROM publication WHERE channel = ? AND offset BETWEEN ? AND ?
         AND (expires_ms IS NULL OR expires_ms > ?) ORDER BY offset ${reverse ? 'DESC' : 'ASC'} LIMIT ?`,
    );
    const page = new PageBuilder(maxBytes);
    for (const value of statement.iterate(channel, from, to, nowMs, limit)) {
      const row = value as unknown as PublicationRow;
      if (!page.hasRoomFor(row)) break;
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

  #reader(index: number): StatementSync {
    let reader = this.#readers[index];
    if (reader === undefined) {
      reader = this.#db.prepare(
        `SELECT ${PUBLICATION_COLUMNS} FROM publication WHERE channel = ? AND offset > ? ORDER BY offset`,
      );
      this.#readers[index] = reader;
    }
    return reader;
  }
}

/** The next row of one channel of a page. */
class ChannelHead {
  readonly #rows: Iterator<PublicationRow>;
  readonly #nowMs: number;
  /** `undefined` when the channel was read to its newest row. */
  row: PublicationRow | undefined;
  /** Offset that the page reaches; -1 when it is the newest. */
  reached: number;
  /** Newest offset that was found to have expired, unless the publisher chose its ttl. */
  lostTo = 0;

  constructor(rows: Iterator<PublicationRow>, fromOffset: number, nowMs: number) {
    this.#rows = rows;
    this.#nowMs = nowMs;
    this.reached = fromOffset;
  }

  /** The row is in the page: goes on to the next. */
  pass(): void {
    this.reached = (this.row as PublicationRow).offset;
    this.advance();
  }

  advance(): void {
    for (;;) {
      const { done, value } = this.#rows.next();
      this.row = done ? undefined : value;
      if (this.row === undefined) {
        this.reached = -1;
        return;
      }
      const { expires_ms: expiresMs, offset, own_ttl: ownTtl } = this.row;
      if (expiresMs === null || expiresMs > this.#nowMs) return;
      // Expired, although the sweep has not come to it yet.
      this.reached = offset;
      if (ownTtl === 0) this.lostTo = offset;
    }
  }

  close(): void {
    this.#rows.return?.();
  }
}

/** Index of the head whose row was stored first; -1 when there are no more rows. */
function oldest(heads: readonly ChannelHead[]): number {
  let best = -1;
  let bestSeq = Number.POSITIVE_INFINITY;
  for (let i = 0; i < heads.length; i++) {
    const seq = heads[i]?.row?.seq;
    if (seq === undefined || seq >= bestSeq) continue;
    best = i;
    bestSeq = seq;
  }
  return best;
}
