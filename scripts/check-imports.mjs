// Checks the direction of imports in packages/*/src against one table. Imports of types count. ARCHITECTURE.md
// prints the table: `node scripts/check-imports.mjs --write` renews it there. A last argument names another root.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import process from 'node:process';

/**
 * A folder imports itself and the folders in its row. An indented folder lies in the one above it: it may also import
 * what that one may import from elsewhere, and names in its row mean its neighbours and its own folders first.
 * `protocol` and `doctor` are packages; the others are folders of packages/server/src.
 */
const MAY_IMPORT = `
protocol     → nothing
doctor       → protocol
core         → protocol
config       → protocol
observe      → core, protocol
access       → core, protocol
gateway      → access, core, observe
engine       → core, protocol
  embedded   → engine, store
    store    → nothing
  redis      → engine, fleet, link, log, names, publish, watch
    names    → nothing
    server   → nothing
    link     → server
    log      → engine, link, names
    publish  → engine, link, log, names, server
    watch    → engine, link, log, names, server
    fleet    → link, names, server
hub          → core, observe, protocol
sse          → core, hub, observe, protocol, catch-up, wire
  catch-up   → wire
  wire       → nothing
publish      → core, observe, protocol
http         → access, core, observe, protocol, publish, sse
  stream     → http
  lanes      → http, stream
  api        → http, lanes, stream
workers      → config, gateway, observe
app          → everything
`;

const TABLE_START = '<!-- imports: start -->';
const TABLE_END = '<!-- imports: end -->';

/** The rows of the table: path of a folder → paths of the folders in its row. */
function parseTable(text) {
  const rows = [];
  const above = [];
  for (const line of text.trim().split('\n')) {
    const [, indent, name, list] = /^( *)(\S+) +→ (.+)$/.exec(line);
    above.splice(indent.length / 2, above.length, name);
    rows.push({ folder: above.join('/'), names: list === 'nothing' ? [] : list.split(', ') });
  }
  const folders = new Set(rows.map(({ folder }) => folder));
  const resolve = (folder, name) =>
    [`${folder}/${name}`, join(folder, '..', name), name].find((path) => folders.has(path)) ?? name;
  return new Map(rows.map(({ folder, names }) => [folder, names.map((name) => resolve(folder, name))]));
}

/** Folder of a file in the terms of the table; '' for files at the top of packages/server/src. */
function folderOf(file) {
  const [, pack, , ...path] = file.split(sep);
  const folders = [...(pack === 'server' ? [] : [pack]), ...path.slice(0, -1)];
  while (folders.length > 1 && !ROWS.has(folders.join('/'))) folders.pop();
  return folders.join('/');
}

function mayImport(from, to) {
  // Files at the top are entry points: they import everything, and nothing imports them.
  if (from === to || from === '') return true;
  if (to === '') return false;
  const [fromTop] = from.split('/');
  const [toTop] = to.split('/');
  const allowed = ROWS.get(fromTop === toTop ? from : fromTop);
  return allowed.includes('everything') || allowed.includes(fromTop === toTop ? to : toTop);
}

function isForTests(file) {
  return /(\.test|-fixture)\.ts$/.test(file);
}

/** Files of the project that each file imports. A whole package stands for its folder. */
function readImports(root) {
  const imports = new Map();
  for (const pack of readdirSync(join(root, 'packages'))) {
    const source = join('packages', pack, 'src');
    for (const name of readdirSync(join(root, source), { recursive: true, encoding: 'utf8' })) {
      if (!name.endsWith('.ts')) continue;
      const file = join(source, name);
      const specifiers = readFileSync(join(root, file), 'utf8').matchAll(
        /(?:\bfrom\s*|\bimport\s*\(?\s*)'([^']+)'/g,
      );
      const targets = [...specifiers].flatMap(([, specifier]) => {
        if (specifier.startsWith('.')) return [join(dirname(file), specifier)];
        const [, other, path = 'index'] = /^@message-push\/([^/]+)(?:\/(.+))?$/.exec(specifier) ?? [];
        return other === undefined ? [] : [join('packages', other, 'src', `${path}.ts`)];
      });
      imports.set(file, targets);
    }
  }
  return imports;
}

function findWrongImports(imports) {
  const problems = [];
  for (const [file, targets] of imports) {
    if (isForTests(file)) continue;
    const from = folderOf(file);
    if (from !== '' && !ROWS.has(from)) {
      problems.push(`${file}: ${from} has no row in MAY_IMPORT`);
      continue;
    }
    for (const target of targets) {
      const to = folderOf(target);
      if (isForTests(target)) problems.push(`${file}: must not import ${target}, which is for tests`);
      else if (!mayImport(from, to)) problems.push(`${file}: ${from} must not import ${target}`);
    }
  }
  return problems;
}

/** One problem for each import that closes a circle. */
function findCycles(imports) {
  const problems = [];
  const done = new Set();
  const path = [];
  const visit = (file) => {
    if (done.has(file)) return;
    const start = path.indexOf(file);
    if (start >= 0) {
      problems.push(`a circle of imports: ${[...path.slice(start), file].join(' → ')}`);
      return;
    }
    path.push(file);
    for (const target of imports.get(file) ?? []) visit(target);
    path.pop();
    done.add(file);
  };
  for (const file of imports.keys()) visit(file);
  return problems;
}

function checkDocument(root, isWriting) {
  const document = join(root, 'ARCHITECTURE.md');
  const text = readFileSync(document, 'utf8');
  const [before, , after] = text.split(new RegExp(`(${TABLE_START}[^]*${TABLE_END})`));
  if (after === undefined) return [`${relative(root, document)}: has no ${TABLE_START} … ${TABLE_END}`];
  const expected = `${before}${TABLE_START}\n\`\`\`${MAY_IMPORT}\`\`\`\n${TABLE_END}${after}`;
  if (expected === text) return [];
  if (!isWriting) {
    return ['ARCHITECTURE.md: prints another table; run node scripts/check-imports.mjs --write'];
  }
  writeFileSync(document, expected);
  return [];
}

const ROWS = parseTable(MAY_IMPORT);
const args = process.argv.slice(2);
const isWriting = args[0] === '--write';
const root = args.at(isWriting ? 1 : 0) ?? '.';
const imports = readImports(root);
const problems = [...findWrongImports(imports), ...findCycles(imports), ...checkDocument(root, isWriting)];
for (const problem of problems) console.error(problem);
process.exit(problems.length === 0 ? 0 : 1);
