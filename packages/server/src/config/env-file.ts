/**
 * The env file: its text as variables. A name that is none of ours is refused, because a misspelt variable that
 * is passed over is a setting that an operator believes in; process environments hold others' names, so there
 * the same rule would be wrong.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseEnv } from 'node:util';
import type { ConfigProblem } from './config-error.ts';
import type { Environment } from './settings/kinds/setting.ts';
import { isVariable, VARIABLES } from './settings/schema.ts';

export interface EnvFile {
  readonly path: string;
  /** False: there is no such file, and none was asked for by name. */
  readonly exists: boolean;
  readonly variables: Readonly<Record<string, string | undefined>>;
  readonly problems: readonly ConfigProblem[];
}

/** `named` is the value of CONFIG_FILE: then the file must exist. */
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
  // Without its value: what a misspelt name holds may be a secret.
  return [
    { variable: name, value: undefined, source: 'file', problem: `is no variable of this service${hint}` },
  ];
}

/** Lines that the parser passes over in silence, such as `SERVICE_PORT 8089`. */
function strayLines(text: string): ConfigProblem[] {
  // A quoted value may span lines; it is one with the line that begins it.
  const lines = text.replace(/=[ \t]*(["'`])[\s\S]*?\1/g, '=').split('\n');
  return lines
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#') && !line.includes('='))
    .map((line) => ({
      variable: line.split(/\s/)[0] ?? line,
      value: undefined,
      source: 'file',
      problem: 'stands on a line that is not NAME=value',
    }));
}

/** The name that differs least from `name`, when it is near enough to be what was meant. */
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

/** Levenshtein: insertions, deletions and replacements that turn `a` into `b`. */
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
