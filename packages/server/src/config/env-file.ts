/**
 * Reads the env file. An unknown name is refused, because an operator would rely on a misspelt variable that is
 * silently ignored. The process environment also holds variables of other programs, so this rule does not apply to
 * it.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseEnv } from 'node:util';
import type { ConfigProblem } from './config-error.ts';
import type { Environment } from './settings/kinds/setting.ts';
import { isVariable, VARIABLES } from './settings/schema.ts';

export interface EnvFile {
  readonly path: string;
  /** False when there is no such file and none was requested by name. */
  readonly exists: boolean;
  readonly variables: Readonly<Record<string, string | undefined>>;
  readonly problems: readonly ConfigProblem[];
}

/** `named` is the value of CONFIG_FILE. The file must exist if it is set. */
export function readEnvFile(rootDir: string, environment: Environment, named: string | undefined): EnvFile {
  const filePath = path.resolve(rootDir, named ?? path.join('config', `${environment}.env`));
  let text: string;
  try {
    text = readFileSync(filePath, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' && named === undefined) {
      return { path: filePath, exists: false, variables: {}, problems: [] };
    }
    const problem = `cannot read ${filePath} (${code ?? String(error)})`;
    const problems: ConfigProblem[] = [
      {
        variable: 'CONFIG_FILE',
        value: named,
        source: named === undefined ? 'default' : 'environment',
        problem,
      },
    ];
    return { path: filePath, exists: false, variables: {}, problems };
  }
  const variables = parseEnv(text);
  const problems = [...Object.keys(variables).flatMap(nameProblems), ...strayLines(text)];
  return { path: filePath, exists: true, variables, problems };
}

function nameProblems(name: string): ConfigProblem[] {
  if (name === 'CONFIG_FILE') {
    return [
      {
        variable: name,
        value: undefined,
        source: 'file',
        problem: 'belongs in the process environment, not in a file',
      },
    ];
  }
  if (isVariable(name)) return [];
  const near = nearestName(name, VARIABLES);
  const hint = near === undefined ? '' : `; did you mean ${near}?`;
  // The value is not shown: a misspelt name may hold a secret.
  return [
    { variable: name, value: undefined, source: 'file', problem: `is not a variable of this service${hint}` },
  ];
}

/** Reports lines that the parser ignores silently, such as `SERVICE_PORT 8089`. */
function strayLines(text: string): ConfigProblem[] {
  // A quoted value may span several lines; they count as one.
  const lines = text.replace(/=[ \t]*(["'`])[\s\S]*?\1/g, '=').split('\n');
  return lines
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#') && !line.includes('='))
    .map((line) => ({
      variable: line.split(/\s/)[0] ?? line,
      value: undefined,
      source: 'file',
      problem: 'is on a line that is not NAME=value',
    }));
}

/** Returns the most similar name, if it is similar enough to be what was meant. */
function nearestName(name: string, names: readonly string[]): string | undefined {
  const wanted = name.toUpperCase();
  let nearest: string | undefined;
  let least = Math.max(2, Math.floor(name.length / 4)) + 1;
  for (const candidate of names) {
    const distance = editDistance(wanted, candidate);
    if (distance < least) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

/** Levenshtein distance: the insertions, deletions and replacements that turn `a` into `b`. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replace, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
