/**
 * Turns the findings of a JSON Schema validator into the details of a request error: the path of the field, and what
 * is allowed. Bodies and, in the HTTP API, URLs are validated with it, so their errors read alike.
 */
import { type FieldProblem, shownValue } from '../core/errors.ts';

/** The parts of an ajv error that are read. Validators must be compiled with `verbose` for the last two. */
export interface SchemaFinding {
  readonly keyword: string;
  readonly instancePath: string;
  readonly params: {
    readonly missingProperty?: string;
    readonly additionalProperty?: string;
    readonly limit?: number;
    readonly type?: string | readonly string[];
    readonly allowedValues?: readonly unknown[];
  };
  readonly message?: string | undefined;
  readonly data?: unknown;
  readonly parentSchema?: object | undefined;
}

/** A hostile body could have a million wrong fields; a person reads the first few. */
const MAX_PROBLEMS = 32;

export function schemaProblems(findings: readonly SchemaFinding[], root: string): FieldProblem[] {
  return findings.slice(0, MAX_PROBLEMS).map((finding) => {
    const { keyword, params } = finding;
    const path = [...pointerSegments(finding.instancePath)];
    if (keyword === 'required') {
      path.push(String(params.missingProperty));
      return { field: fieldPath(root, path), problem: 'is required' };
    }
    if (keyword === 'additionalProperties') {
      path.push(shownName(String(params.additionalProperty)));
      return {
        field: fieldPath(root, path),
        problem: `is unknown; the allowed fields are ${propertyNames(finding)}`,
      };
    }
    const value = shownValue(finding.data);
    return {
      field: fieldPath(root, path),
      problem: problemOf(finding),
      ...(value === undefined ? {} : { value }),
    };
  });
}

function problemOf(finding: SchemaFinding): string {
  const { keyword, params } = finding;
  const limit = params.limit;
  switch (keyword) {
    case 'type':
      return `must be ${typeName(params.type)}`;
    case 'enum':
      return `must be one of ${params.allowedValues?.join(', ')}`;
    case 'minLength':
      return limit === 1 ? 'must not be empty' : `must have at least ${limit} characters`;
    case 'maxLength':
      return `must have at most ${limit} characters`;
    case 'minimum':
      return `must be at least ${limit}`;
    case 'maximum':
      return `must be at most ${limit}`;
    case 'maxItems':
      return `must have at most ${limit} items`;
    case 'minProperties':
      return `must have at least one of ${propertyNames(finding)}`;
    default:
      return finding.message ?? `does not fit (${keyword})`;
  }
}

function typeName(type: unknown): string {
  if (type === 'boolean') return 'true or false';
  const word = String(type);
  return `${/^[aeio]/.test(word) ? 'an' : 'a'} ${word}`;
}

function propertyNames(finding: SchemaFinding): string {
  const schema = finding.parentSchema as { properties?: object } | undefined;
  return Object.keys(schema?.properties ?? {}).join(', ');
}

function shownName(name: string): string {
  return String(shownValue(name));
}

function pointerSegments(pointer: string): string[] {
  if (pointer === '') return [];
  return pointer
    .slice(1)
    .split('/')
    .map((segment) => shownName(segment.replaceAll('~1', '/').replaceAll('~0', '~')));
}

/** A path as a person writes it: `[3].target.user_id`. An empty one is the body itself. */
export function fieldPath(root: string, segments: readonly (string | number)[]): string {
  let path = root;
  for (const segment of segments) {
    const isIndex = typeof segment === 'number' || /^\d+$/.test(segment);
    path += isIndex ? `[${segment}]` : path === '' ? segment : `.${segment}`;
  }
  return path === '' ? 'body' : path;
}
