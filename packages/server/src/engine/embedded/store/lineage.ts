/**
 * The past of a restored store. A copy is older than what streams have seen, and goes on with other messages under the
 * same offsets. If it kept its epochs, a cursor from the time after the copy would be honoured as soon as the channel
 * had grown past it. So every channel of a copy begins a new epoch before it is served, and keeps the one before as an
 * ancestor, by which `core/recovery.ts` judges the cursors that come back.
 */
import type { DatabaseSync } from 'node:sqlite';
import type { Ancestor } from '../../../core/engine.ts';
import { newEpoch } from './epoch.ts';
import { ANCESTOR_TABLE } from './schema.ts';

/** `application_id` of a copy, by which it is recognised however it came to its place. */
const COPY_MARK = 0x6d707363;

export interface NewestOffset {
  readonly id: number;
  readonly name: string;
  readonly epoch: string;
  readonly offset: number;
}

export function markAsCopy(db: DatabaseSync): void {
  db.exec(`PRAGMA application_id = ${COPY_MARK}`);
}

export function isCopy(db: DatabaseSync): boolean {
  const row = db.prepare('PRAGMA application_id').get() as { application_id: number };
  return row.application_id === COPY_MARK;
}

export function newestOffsets(db: DatabaseSync): NewestOffset[] {
  return db
    .prepare(
      `SELECT id, name, epoch, max(offset, coalesce((SELECT max(p.offset) FROM publication p
         WHERE p.channel = channel.id), 0)) AS offset FROM channel`,
    )
    .all() as unknown as NewestOffset[];
}

/**
 * Begins a new epoch on every channel, all or nothing. The file is no longer marked as a copy then. Returns the number
 * of channels.
 */
export function beginNewEpochs(db: DatabaseSync, hasLost: (log: NewestOffset) => boolean): number {
  // One epoch serves all channels: it tells apart the lives of a channel, not channels.
  const next = newEpoch();
  db.exec(`BEGIN IMMEDIATE; ${ANCESTOR_TABLE}`);
  // Rows of channels that were forgotten while the copy was made. Their ids may be used again.
  db.exec('DELETE FROM publication WHERE channel NOT IN (SELECT id FROM channel)');
  const logs = newestOffsets(db);
  const insert = db.prepare(
    'INSERT INTO ancestor (channel, next_epoch, epoch, up_to, is_lossy) VALUES (?, ?, ?, ?, ?)',
  );
  for (const log of logs) insert.run(log.id, next, log.epoch, log.offset, hasLost(log) ? 1 : 0);
  db.prepare('UPDATE channel SET epoch = ?').run(next);
  db.exec('PRAGMA application_id = 0; COMMIT');
  return logs.length;
}

/** Ancestors by channel id, newest first. Channels without any are left out. */
export function readAncestors(
  db: DatabaseSync,
  channels: readonly { readonly id: number; readonly epoch: string }[],
): Map<number, Ancestor[]> {
  const rows = db.prepare('SELECT channel, next_epoch, epoch, up_to, is_lossy FROM ancestor').all() as {
    channel: number;
    next_epoch: string;
    epoch: string;
    up_to: number;
    is_lossy: number;
  }[];
  const found = new Map<number, Ancestor[]>();
  if (rows.length === 0) return found;
  const byNext = new Map(rows.map((row) => [`${row.channel} ${row.next_epoch}`, row]));
  for (const { id, epoch } of channels) {
    const ancestors: Ancestor[] = [];
    for (let row = byNext.get(`${id} ${epoch}`); row !== undefined; row = byNext.get(`${id} ${row.epoch}`)) {
      ancestors.push({ epoch: row.epoch, upTo: row.up_to, isLossy: row.is_lossy === 1 });
    }
    if (ancestors.length > 0) found.set(id, ancestors);
  }
  return found;
}
