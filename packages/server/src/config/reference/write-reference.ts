/** Writes the files generated from the schema into the repository: `npm run docs:reference`. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { generatedFiles } from './generated-files.ts';

// packages/server/{src,dist}/config/reference → the root
const rootDir = fileURLToPath(new URL('../../../../../', import.meta.url));

for (const [name, text] of generatedFiles()) {
  const target = path.join(rootDir, name);
  mkdirSync(path.dirname(target), { recursive: true });
  writeFileSync(target, text);
  process.stdout.write(`${name}\n`);
}
