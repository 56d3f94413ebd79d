/**
 * A list of API keys as operators write it, in API_KEYS or in the file that API_KEYS_FILE names: JSON, one object per
 * key, with the key's hash and never the key. Unknown fields are refused: an ignored field could be a limit that the
 * operator relies on.
 */
import { nameProblem } from '@message-push/protocol';
import { ChannelSet, patternsProblem } from '../channel-set.ts';
import { type KeyGrant, SCOPES, type Scope } from '../principal.ts';

export interface ApiKeyRecord extends KeyGrant {
  /** SHA-256 of the key in lower-case hex. */
  readonly sha256: string;
}

/** The JSON form of one key. */
export interface ApiKeyEntry {
  readonly name: string;
  readonly sha256: string;
  readonly scopes: readonly Scope[];
  readonly channels: readonly string[];
  /** ISO 8601 with a zone. Absent when the key does not expire. */
  readonly expires_at?: string;
}

export const MAX_KEYS = 10_000;
const MAX_NAME_BYTES = 64;
const FIELDS: readonly string[] = [
  'name',
  'sha256',
  'scopes',
  'channels',
  'expires_at',
] satisfies (keyof ApiKeyEntry)[];
const SHA256 = /^[0-9a-f]{64}$/;
const TIME = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d))?$/;

/** Throws an Error for the operator, which begins with `source` and names every problem. */
export function parseKeyList(text: string, source: string): ApiKeyRecord[] {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    // The parser's own message would quote the text.
    throw new Error(`${source} is not valid JSON`);
  }
  if (!Array.isArray(list)) throw new Error(`${source} must be a JSON array of keys`);
  if (list.length > MAX_KEYS) throw new Error(`${source} must have at most ${MAX_KEYS} keys`);
  const problems: string[] = [];
  const records: ApiKeyRecord[] = [];
  for (const [i, entry] of list.entries()) {
    const found = entryProblems(entry);
    if (found.length === 0) records.push(recordOf(entry as ApiKeyEntry));
    problems.push(...found.map((problem) => `key ${i} ${problem}`));
  }
  for (const field of ['name', 'sha256'] as const) {
    const seen = new Set<string>();
    for (const record of records) {
      if (seen.has(record[field])) problems.push(`two keys have the ${field} "${record[field]}"`);
      seen.add(record[field]);
    }
  }
  if (problems.length > 0) throw new Error(`${source}: ${problems.join('; ')}`);
  return records;
}

function recordOf({ name, sha256, scopes, channels, expires_at: expiresAt }: ApiKeyEntry): ApiKeyRecord {
  return {
    name,
    sha256,
    scopes,
    channels: ChannelSet.ofPatterns(channels),
    expiresAtMs: expiresAt === undefined ? undefined : expiryTimeMs(expiresAt),
  };
}

function entryProblems(entry: unknown): string[] {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) return ['must be an object'];
  const {
    name,
    sha256,
    scopes,
    channels,
    expires_at: expiresAt,
  } = entry as Record<keyof ApiKeyEntry, unknown>;
  const problems: string[] = [];
  const check = (field: string, problem: string | undefined): void => {
    if (problem !== undefined) problems.push(`${field} ${problem}`);
  };
  if ('key' in entry) problems.push('must not hold the key itself: keep its sha256');
  for (const field of Object.keys(entry)) {
    // The name of the field is not shown: it may be a key that was written in the wrong place.
    if (field !== 'key' && !FIELDS.includes(field))
      problems.push(`has an unknown field; the fields are ${FIELDS.join(', ')}`);
  }
  check('name', typeof name === 'string' ? nameProblem(name, MAX_NAME_BYTES) : 'must be text');
  check(
    'sha256',
    typeof sha256 === 'string' && SHA256.test(sha256) ? undefined : 'must be 64 lower-case hex digits',
  );
  const areScopes =
    Array.isArray(scopes) && scopes.length > 0 && scopes.every((scope) => SCOPES.includes(scope as Scope));
  check('scopes', areScopes ? undefined : `must be an array of one or more of ${SCOPES.join(', ')}`);
  check('channels', patternsProblem(channels));
  if (expiresAt !== undefined) check('expires_at', timeProblem(expiresAt));
  return problems;
}

function timeProblem(value: unknown): string | undefined {
  if (typeof value === 'string' && expiryTimeMs(value) !== undefined) return undefined;
  return 'must be a date or an ISO 8601 time with a zone, such as 2027-01-31 or 2027-01-31T12:00:00Z';
}

/** Parses a date (its beginning in UTC) or a time with a zone into ms since 1970. */
export function expiryTimeMs(text: string): number | undefined {
  const timeMs = TIME.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(timeMs) ? undefined : timeMs;
}
