/**
 * Makes a backup file. It gets its final name only when it is whole and on disk. The next backup removes what a killed
 * process has left unfinished.
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
import type { Backup } from '../../../core/backups.ts';

const FOLDER = 'backups';
const UNFINISHED = '.part';

/** `copyTo` copies the store into an empty file, and resolves when the copy is on disk. */
export async function makeBackupFile(
  directory: string,
  nowMs: number,
  copyTo: (file: string) => Promise<unknown>,
): Promise<Backup> {
  const started = performance.now();
  const folder = join(directory, FOLDER);
  // Nobody else may read the messages.
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  removeUnfinished(folder);
  const path = join(folder, `${new Date(nowMs).toISOString().replaceAll(':', '-')}.db`);
  const unfinished = path + UNFINISHED;
  try {
    closeSync(openSync(unfinished, 'wx', 0o600));
    await copyTo(unfinished);
    renameSync(unfinished, path);
    syncFolder(folder);
  } catch (error) {
    removeUnfinished(folder);
    throw error;
  }
  return { path, bytes: statSync(path).size, seconds: Math.round(performance.now() - started) / 1000 };
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
