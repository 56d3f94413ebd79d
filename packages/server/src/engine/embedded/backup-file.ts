/**
 * A copy of the store under its final name only once it is whole and on disk. What a process that was killed left
 * half done is removed by the next.
 */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Backup } from '../../core/backups.ts';
import { markAsCopy } from './lineage.ts';

const FOLDER = 'backups';
const UNFINISHED = '.part';

/** `copyTo` writes the store into an empty file. */
export async function makeBackupFile(
  directory: string,
  nowMs: number,
  copyTo: (file: string) => Promise<unknown>,
): Promise<Backup> {
  const started = performance.now();
  const folder = join(directory, FOLDER);
  // Messages are nobody else's to read.
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  removeUnfinished(folder);
  const path = join(folder, `${new Date(nowMs).toISOString().replaceAll(':', '-')}.db`);
  const unfinished = path + UNFINISHED;
  try {
    closeSync(openSync(unfinished, 'wx', 0o600));
    await copyTo(unfinished);
    finish(unfinished);
    renameSync(unfinished, path);
    syncFolder(folder);
  } catch (error) {
    removeUnfinished(folder);
    throw error;
  }
  return { path, bytes: statSync(path).size, seconds: (performance.now() - started) / 1000 };
}

function finish(file: string): void {
  const db = new DatabaseSync(file);
  try {
    // One file that needs no other beside it, even where it can only be read.
    db.exec('PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL');
    markAsCopy(db);
  } finally {
    db.close();
  }
}

function removeUnfinished(folder: string): void {
  for (const name of readdirSync(folder)) {
    if (name.includes(UNFINISHED)) rmSync(join(folder, name), { force: true });
  }
}

export function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
