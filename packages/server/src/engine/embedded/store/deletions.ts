/** What deleted rows mean for their channels. */
import type { PublicationRow } from './schema.ts';

export type DeletedRow = Pick<
  PublicationRow,
  'channel' | 'offset' | 'expires_ms' | 'own_ttl' | 'size' | 'time_ms'
>;

/** The columns of a `DeletedRow`, in a DELETE statement. */
export const RETURNING_DELETED = 'RETURNING channel, offset, expires_ms, own_ttl, size, time_ms';

export interface DeletionSum {
  rows: number;
  bytes: number;
  lastOffset: number;
  lastTimeMs: number;
  /** Newest deleted offset, except for rows that had outlived a ttl of their own; 0 when there is none. */
  lostTo: number;
}

/** Sums up deleted rows by channel id. */
export function sumDeletions(rows: readonly DeletedRow[], nowMs: number): Map<number, DeletionSum> {
  const byChannel = new Map<number, DeletionSum>();
  for (const row of rows) {
    let sum = byChannel.get(row.channel);
    if (sum === undefined) {
      sum = { rows: 0, bytes: 0, lastOffset: 0, lastTimeMs: 0, lostTo: 0 };
      byChannel.set(row.channel, sum);
    }
    sum.rows++;
    sum.bytes += row.size;
    sum.lastOffset = Math.max(sum.lastOffset, row.offset);
    sum.lastTimeMs = Math.max(sum.lastTimeMs, row.time_ms);
    // A ttl of its own excuses a message once it has run out, and not before.
    const isExcused = row.own_ttl === 1 && row.expires_ms !== null && row.expires_ms <= nowMs;
    if (!isExcused) sum.lostTo = Math.max(sum.lostTo, row.offset);
  }
  return byChannel;
}
