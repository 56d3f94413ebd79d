/** npm's cache on this machine, from which a scratch machine installs packages: it reaches no registry. */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../repository.ts';

interface Lockfile {
  readonly packages: Readonly<Record<string, { readonly integrity?: string; readonly optional?: boolean }>>;
}

/** The folder of the cache, once all packages of this checkout are in it; `spare` is a folder to install them in. */
export function filledNpmCache(spare: string): string {
  const folder = execFileSync('npm', ['config', 'get', 'cache'], { cwd: ROOT, encoding: 'utf8' }).trim();
  if (!holdsInstalledPackages(folder)) {
    for (const file of manifests()) cpSync(join(ROOT, file), join(spare, file));
    execFileSync('npm', ['ci', '--prefer-offline'], { cwd: spare, stdio: 'ignore', timeout: 400_000 });
  }
  return folder;
}

function holdsInstalledPackages(folder: string): boolean {
  const wanted = readLockfile('package-lock.json');
  const installed = readLockfile('node_modules/.package-lock.json');
  return Object.entries(wanted.packages).every(
    ([path, { integrity, optional = false }]) =>
      // Optional ones that are not installed are for other machines.
      integrity === undefined || (optional && !(path in installed.packages)) || isCached(folder, integrity),
  );
}

function readLockfile(name: string): Lockfile {
  return JSON.parse(readFileSync(join(ROOT, name), 'utf8')) as Lockfile;
}

/** npm files the archive of a package under the digest that the lockfile names. */
function isCached(folder: string, integrity: string): boolean {
  const [algorithm = '', ...digestText] = integrity.split('-');
  const digest = Buffer.from(digestText.join('-'), 'base64').toString('hex');
  const path = [digest.slice(0, 2), digest.slice(2, 4), digest.slice(4)];
  return existsSync(join(folder, '_cacache/content-v2', algorithm, ...path));
}

/** What `npm ci` reads. */
function manifests(): string[] {
  const { workspaces } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    workspaces: string[];
  };
  const folders = globSync(workspaces, { cwd: ROOT });
  return [
    'package.json',
    'package-lock.json',
    '.npmrc',
    ...folders.map((folder) => `${folder}/package.json`),
  ];
}
