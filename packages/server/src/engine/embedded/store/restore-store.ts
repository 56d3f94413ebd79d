/**
 * Puts a copy in the place of the store, while no service has it open. Nothing is changed before the copy has been
 * checked. The store that was there is renamed, never deleted.
 *
 * Streams that come back are told what is lost. If the store can still be read, it shows for each channel whether it had
 * messages that the copy lacks. If it cannot, every channel is taken to have lost some.
 */
import { chownSync, copyFileSync, existsSync, realpathSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { syncFolder } from './backup-file.ts';
import { beginNewEpochs, type NewestOffset, newestOffsets } from './lineage.ts';
import { FILE_NAME, setStoreAside } from './open-store.ts';
import { SCHEMA_VERSION } from './schema.ts';
import { isBusy, isCorrupt } from './sqlite-errors.ts';

/** A refusal, in a sentence for the operator. Nothing was changed. */
export class RestoreError extends Error {
  override readonly name = 'RestoreError';
}

export interface Restored {
  readonly channels: number;
  /** Channels that lack messages which the store before had, or may have had. */
  readonly lossyChannels: number;
  /** New name of the store that was there; `undefined` when there was none. */
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
    // The service runs as the owner of the folder, whoever runs this command.
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

/** Takes the lock, until it is closed. `undefined` when the file cannot be read; no service can have it open then. */
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
    // Damaged, or of a version without such a table: it is unknown what it had.
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
  // There is a write-ahead log if the files of a stopped service were copied by hand.
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
    if (!isCorrupt(error)) throw error;
    const { message } = error as Error;
    throw new RestoreError(`${copy} is damaged, or not a store of this service: ${message}`);
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
    throw new RestoreError(`${copy} is not a store of this service: ${(error as Error).message}`);
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
