/**
 * A copy of this checkout that a test may build, deploy and break: the files that git tracks or would add, the built
 * programs, and the packages as hard links.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ROOT } from '../repository.ts';

const BUILT = ['protocol', 'server', 'doctor'].flatMap((name) =>
  ['dist', 'tsconfig.tsbuildinfo'].map((file) => `packages/${name}/${file}`),
);

export function scratchCopy(folder: string): void {
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  for (const file of [...listed.split('\0').filter((name) => name !== ''), ...BUILT]) {
    // Git still lists deleted files until the deletion is committed.
    if (!existsSync(join(ROOT, file))) continue;
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    // The compiler compares the times of files.
    cpSync(join(ROOT, file), join(folder, file), { recursive: true, preserveTimestamps: true });
  }
  const packages = join(ROOT, 'node_modules');
  try {
    execFileSync('cp', ['-al', packages, folder], { stdio: 'pipe' });
  } catch {
    // The folder is on another file system.
    execFileSync('cp', ['-a', packages, folder]);
  }
  // As if `scripts/install.sh` had installed them; removed first because it may be a hard link to this checkout's.
  const stamp = join(folder, 'node_modules/.installed-lockfile');
  rmSync(stamp, { force: true });
  copyFileSync(join(ROOT, 'package-lock.json'), stamp);
}
