/** Checks, before anything is opened, that the files named by settings can be read. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { usesTls } from '../redis-config.ts';
import type { Values, Variable } from '../settings/schema.ts';
import type { Finding } from './finding.ts';

const REDIS_FILES = ['REDIS_TLS_CA_PATH', 'REDIS_TLS_CERT_PATH', 'REDIS_TLS_KEY_PATH'] as const;

export function pathProblems(values: Values, rootDir: string): Finding[] {
  const problems: Finding[] = [];
  for (const [variable, name] of usedFiles(values)) {
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

function usedFiles(values: Values): [Variable, string | undefined][] {
  const files: [Variable, string | undefined][] = [];
  if (values.MESSAGE_QUEUE_TYPE === 'redis' && usesTls(values)) {
    files.push(
      ...REDIS_FILES.map((variable): [Variable, string | undefined] => [variable, values[variable]]),
    );
  }
  if (values.ENABLE_API_KEY_AUTH) files.push(['API_KEYS_FILE', values.API_KEYS_FILE]);
  if (values.ENABLE_AUTH) files.push(['JWT_PUBLIC_KEY', values.JWT_PUBLIC_KEY?.path]);
  return files;
}
