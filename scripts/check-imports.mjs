// Keeps the direction of imports in packages/server/src: a folder imports itself and folders before it. Files at
// the top (main.ts, app.ts) import all. Cycles between files are biome's to find (noImportCycles).
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import process from 'node:process';

const ROOT = 'packages/server/src';
const ORDER = [
  'config',
  'core',
  'observe',
  'access',
  'gateway',
  'engine',
  'hub',
  'sse',
  'publish',
  'http',
  'workers',
  'app',
];
// Siblings that must not know each other although one stands before the other.
const APART = [
  ['config', 'core'],
  ['access', 'config'],
  ['engine', 'access'],
  ['gateway', 'config'],
  ['publish', 'hub'],
  ['publish', 'sse'],
  ['hub', 'engine'],
  ['sse', 'engine'],
  ['publish', 'engine'],
  ['http', 'engine'],
  ['http', 'config'],
  ...['engine', 'hub', 'sse', 'publish', 'http'].map((folder) => ['workers', folder]),
];

const problems = [];
for (const file of readdirSync(ROOT, { recursive: true, encoding: 'utf8' })) {
  if (!file.endsWith('.ts') || file.endsWith('.test.ts')) continue;
  const folder = file.split(sep)[0];
  if (!file.includes(sep)) continue;
  if (!ORDER.includes(folder))
    problems.push(`${file}: folder ${folder} has no place in the order of imports`);
  for (const [, specifier] of readFileSync(join(ROOT, file), 'utf8').matchAll(/from '(\.[^']+)'/g)) {
    const target = relative(ROOT, join(ROOT, dirname(file), specifier));
    const targetFolder = target.split(sep)[0];
    if (targetFolder === folder) continue;
    const isForward = ORDER.indexOf(targetFolder) > ORDER.indexOf(folder) || !target.includes(sep);
    const isApart = APART.some(([from, to]) => from === folder && to === targetFolder);
    if (isForward || isApart) problems.push(`${file}: must not import ${target}`);
  }
}
for (const problem of problems) console.error(problem);
process.exit(problems.length === 0 ? 0 : 1);
