/** Reads everything that the engine keeps in memory, and no body. */
import type { DatabaseSync } from 'node:sqlite';
import { readAncestors } from './lineage.ts';
import type { OpenReply, StoredReceipt } from './store-protocol.ts';

export function loadStore(db: DatabaseSync, receiptsSinceMs: number): Omit<OpenReply, 'setAside'> {
  const channels = db
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
  const ancestors = readAncestors(db, channels);
  const { seq: lastSeq } = db
    .prepare(
      `SELECT max(coalesce((SELECT max(seq) FROM publication), 0),
                  coalesce((SELECT max(seq) FROM receipt), 0)) AS seq`,
    )
    .get() as { seq: number };
  const receipts = db
    .prepare('SELECT seq, time_ms AS timeMs, id, fingerprint, places FROM receipt WHERE time_ms >= ?')
    .all(receiptsSinceMs) as unknown as StoredReceipt[];
  return {
    channels: channels.map((channel) => {
      const own = ancestors.get(channel.id);
      return own === undefined ? channel : { ...channel, ancestors: own };
    }),
    lastSeq,
    receipts,
  };
}
