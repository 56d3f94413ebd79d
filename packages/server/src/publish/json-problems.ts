/**
 * Finds what must not be in a body although it is valid JSON, in one walk: names that poison prototypes in careless
 * subscribers, text that is not Unicode, and nesting that breaks recursive parsers.
 */
import { type FieldProblem, shownValue } from '../core/errors.ts';
import { fieldPath } from './schema-problems.ts';

interface Finding {
  /** Absent if the value is nested too deeply. */
  readonly problem: string | undefined;
  /** From the inside out: filled while the recursion unwinds, so that a valid body pays nothing for paths. */
  readonly reversedPath: (string | number)[];
}

export interface JsonProblem {
  readonly detail: FieldProblem;
  readonly isTooDeep: boolean;
}

/** The first problem inside `value`, whose own level counts as 1. `root` begins the path of the field. */
export function findJsonProblem(value: unknown, maxDepth: number, root: string): JsonProblem | undefined {
  const finding = walk(value, maxDepth);
  if (finding === undefined) return undefined;
  const field = shortPath(fieldPath(root, finding.reversedPath.toReversed()));
  const problem = finding.problem ?? `is nested too deeply: at most ${maxDepth} levels are allowed`;
  return { detail: { field, problem }, isTooDeep: finding.problem === undefined };
}

function walk(value: unknown, depthLeft: number): Finding | undefined {
  if (typeof value === 'string') {
    return value.isWellFormed()
      ? undefined
      : { problem: 'must be well-formed Unicode (it contains a lone surrogate)', reversedPath: [] };
  }
  if (typeof value !== 'object' || value === null) return undefined;
  // Bounds the recursion: a body of a million brackets must not overflow the stack.
  if (depthLeft === 0) return { problem: undefined, reversedPath: [] };
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const finding = walk(value[i], depthLeft - 1);
      if (finding !== undefined) return under(i, finding);
    }
    return undefined;
  }
  const object = value as Record<string, unknown>;
  // JSON.parse creates own properties only, and no enumerable ones are inherited.
  for (const key in object) {
    if (key === '__proto__') return { problem: 'is a name that is not allowed', reversedPath: [key] };
    if (!key.isWellFormed()) {
      return { problem: 'has a name that is not well-formed Unicode', reversedPath: [key.toWellFormed()] };
    }
    const finding = walk(object[key], depthLeft - 1);
    if (finding !== undefined) return under(key, finding);
  }
  return undefined;
}

function under(segment: string | number, finding: Finding): Finding {
  finding.reversedPath.push(typeof segment === 'string' ? String(shownValue(segment)) : segment);
  return finding;
}

const MAX_PATH_CHARS = 200;

function shortPath(path: string): string {
  if (path.length <= MAX_PATH_CHARS) return path;
  return `${path.slice(0, MAX_PATH_CHARS).toWellFormed()}…`;
}
