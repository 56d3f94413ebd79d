/** Whether the files that settings name can be read, before anything is opened. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Finding } from './finding.ts';
import { usesTls } from './redis-config.ts';
import type { Values } from './schema.ts';

const REDIS_FILES = ['REDIS_TLS_CA_PATH', 'REDIS_TLS_CERT_PATH', 'REDIS_TLS_KEY_PATH'] as const;

export function pathProblems(values: Values, rootDir: string): Finding[] {
  const used = values.MESSAGE_QUEUE_TYPE === 'redis' && usesTls(values) ? REDIS_FILES : [];
  const problems: Finding[] = [];
  for (const variable of used) {
    const name = values[variable];
    if (name === undefined) continue;
    const file = path.resolve(rootDir, name);
    try {
      readFileSync(file);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? String(error);
      problems.push({ variable, problem: `cannot read ${file} (${code})` });
    }
  }
  return problems;
}
