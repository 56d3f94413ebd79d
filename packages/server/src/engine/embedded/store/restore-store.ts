/**
 * Puts a copy of the store in the place of the store, while no service has it open. Nothing is changed before the
 * copy has been found whole; the store that was there is renamed, never deleted.
 *
 * Streams that come back are told the truth: what the store had and the copy has not is known channel by channel
 * where the store can still be read, and taken to be something wherever it cannot.
 */
import { chownSync, copyFileSync, existsSync, realpathSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { syncFolder } from './backup-file.ts';
import { beginNewEpochs, type NewestOffset, newestOffsets } from './lineage.ts';
import { FILE_NAME, setStoreAside } from './open-store.ts';
import { SCHEMA_VERSION } from './schema.ts';
import { isBusy, isCorrupt } from './sqlite-errors.ts';

/** A sentence for the operator. Nothing was changed. */
export class RestoreError extends Error {
  override readonly name = 'RestoreError';
}

export interface Restored {
  readonly channels: number;
  /** Those of which messages are missing that the store before had, or may have had. */
  readonly lossyChannels: number;
  /** The new name of the store that was there; undefined when there was none. */
  readonly setAside: string | undefined;
}

const TABLES = {
  channel: 'id, name, epoch, offset, floor, published_ms',
  publication: 'seq, channel, offset, time_ms, expires_ms, own_ttl, size, id, type, extra, body',
  receipt: 'seq, time_ms, id, fingerprint, places',
};

export function restoreStore(directory: string, copy: string): Restored {
  const file = join(directory, FILE_NAME);
  if (!existsSync(copy)) throw new RestoreError(`there is no file ${copy}`);
  if (!existsSync(directory)) throw new RestoreError(`there is no folder ${directory}`);
  const isThere = existsSync(file);
  if (isThere && realpathSync(copy) === realpathSync(file)) {
    throw new RestoreError(`${copy} is the store itself`);
  }
  const present = isThere ? openPresent(file) : undefined;
  const staged = `${file}.restoring`;
  try {
    const before = present === undefined ? undefined : logsOf(present);
    const { channels, lossyChannels } = stage(copy, staged, before);
    // As the owner of the folder runs the service, whoever restores.
    const { uid, gid } = statSync(directory);
    if (process.getuid?.() === 0) chownSync(staged, uid, gid);
    present?.close();
    const setAside = isThere ? setStoreAside(file, 'replaced') : undefined;
    renameSync(staged, file);
    syncFolder(directory);
    return { channels, lossyChannels, setAside };
  } finally {
    if (present?.isOpen === true) present.close();
    removeStaged(staged);
  }
}

/** Holds the lock until it is closed; undefined when it cannot be read, so that no service can have it open. */
function openPresent(file: string): DatabaseSync | undefined {
  const db = new DatabaseSync(file);
  try {
    db.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; COMMIT');
    return db;
  } catch (error) {
    db.close();
    if (isBusy(error)) throw new RestoreError(`a service has the store in use: stop it first (${file})`);
    if (isCorrupt(error)) return undefined;
    throw error;
  }
}

function logsOf(present: DatabaseSync): Map<string, NewestOffset> | undefined {
  try {
    return new Map(newestOffsets(present).map((log) => [log.name, log]));
  } catch {
    // Damaged, or of a version that has no such table: what it had is not known.
    return undefined;
  }
}

function stage(
  copy: string,
  staged: string,
  before: ReadonlyMap<string, NewestOffset> | undefined,
): Pick<Restored, 'channels' | 'lossyChannels'> {
  removeStaged(staged);
  copyFileSync(copy, staged);
  // Of a store that was copied while its service was stopped.
  if (existsSync(`${copy}-wal`)) copyFileSync(`${copy}-wal`, `${staged}-wal`);
  const db = new DatabaseSync(staged);
  try {
    checkStore(db, copy);
    let lossyChannels = 0;
    const channels = beginNewEpochs(db, ({ name, epoch, offset }) => {
      const log = before?.get(name);
      const hasLost = log === undefined || log.epoch !== epoch || log.offset > offset;
      if (hasLost) lossyChannels++;
      return hasLost;
    });
    db.exec('PRAGMA journal_mode = DELETE');
    return { channels, lossyChannels };
  } catch (error) {
    if (isCorrupt(error))
      throw new RestoreError(`${copy} is damaged, or no store of this service: ${(error as Error).message}`);
    throw error;
  } finally {
    db.close();
  }
}

function checkStore(db: DatabaseSync, copy: string): void {
  const { user_version: version } = db.prepare('PRAGMA user_version').get() as { user_version: number };
  try {
    for (const [table, columns] of Object.entries(TABLES)) {
      db.prepare(`SELECT ${columns} FROM ${table} LIMIT 0`).all();
    }
  } catch (error) {
    if (isCorrupt(error)) throw error;
    throw new RestoreError(`${copy} is no store of this service: ${(error as Error).message}`);
  }
  if (version !== SCHEMA_VERSION) {
    throw new RestoreError(
      `${copy} has schema version ${version}; this program reads version ${SCHEMA_VERSION}`,
    );
  }
  const { integrity_check: found } = db.prepare('PRAGMA integrity_check(1)').get() as {
    integrity_check: string;
  };
  if (found !== 'ok') throw new RestoreError(`${copy} is damaged: ${found}`);
}

function removeStaged(staged: string): void {
  for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(staged + suffix, { force: true });
}
