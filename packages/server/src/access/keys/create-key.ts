/** The output of `npm run keys -- create …`: a new API key, and the entry for the service's list of keys. */
import { parseArgs } from 'node:util';
import { ChannelSet, patternsProblem } from '../channel-set.ts';
import { SCOPES, type Scope } from '../principal.ts';
import { createApiKey, hashApiKey } from './api-key.ts';
import { type ApiKeyEntry, expiryTimeMs, parseKeyList } from './key-list.ts';

export const KEYS_USAGE = `Usage: npm run keys -- create --name NAME --scopes SCOPES [--channels PATTERNS] [--expires WHEN]

  --name NAME          name in logs and rate limits; one key per name
  --scopes SCOPES      comma-separated: ${SCOPES.join(', ')}
  --channels PATTERNS  comma-separated names and patterns: task:*, kb:tenant1-*, user:7, * (default: *)
  --expires WHEN       90d, 12h, or a time such as 2027-01-31T12:00:00Z (default: never)
`;

const UNITS_MS: Readonly<Record<string, number>> = { m: 60e3, h: 3600e3, d: 86_400e3 };

/** Throws an Error for the operator when the arguments are wrong. */
export function createKeyText(args: readonly string[], nowMs: number, key = createApiKey()): string {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      name: { type: 'string' },
      scopes: { type: 'string' },
      channels: { type: 'string', default: '*' },
      expires: { type: 'string' },
    },
  });
  if (positionals.length !== 1 || positionals[0] !== 'create') throw new Error('the only command is create');
  const { name, scopes, channels, expires } = values;
  if (name === undefined || scopes === undefined) throw new Error('--name and --scopes are required');
  const patterns = splitList(channels);
  const problem = patterns.length === 0 ? 'names no channel' : patternsProblem(patterns);
  if (problem !== undefined) throw new Error(`--channels: ${problem}`);
  const entry: ApiKeyEntry = {
    name,
    sha256: hashApiKey(key),
    scopes: splitList(scopes) as Scope[],
    // Printed in the form that the service reads, so that a mistyped prefix shows.
    channels: ChannelSet.ofPatterns(patterns).toPatterns(),
    ...(expires === undefined ? {} : { expires_at: expiryOf(expires, nowMs) }),
  };
  const line = JSON.stringify(entry);
  parseKeyList(`[${line}]`, 'the new key');
  return (
    `The key, shown only once:\n\n  ${key}\n\n` +
    `Add this to the JSON array in the file of API_KEYS_FILE, which is reloaded automatically, or to API_KEYS:\n\n  ${line}\n`
  );
}

function splitList(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

function expiryOf(text: string, nowMs: number): string {
  const duration = /^(\d{1,5})([mhd])$/.exec(text);
  const unitMs = UNITS_MS[duration?.[2] ?? ''];
  const timeMs = unitMs === undefined ? expiryTimeMs(text) : nowMs + Number(duration?.[1]) * unitMs;
  if (timeMs === undefined)
    throw new Error(`--expires: "${text}" is neither a duration nor a time with a zone`);
  if (timeMs <= nowMs) throw new Error('--expires: this time has already passed');
  return new Date(timeMs).toISOString();
}
