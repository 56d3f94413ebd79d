/** The Lua scripts: read from `packages/server/lua`, called by their digest. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

export interface Script {
  readonly name: string;
  readonly source: string;
  readonly sha: string;
}

const FILES = {
  publish: 'publish',
  states: 'states',
  positions: 'positions',
  read: 'read',
  range: 'range',
  locate: 'locate',
  summary: 'summary',
  reportLoss: 'report_loss',
  claim: 'claim',
  beat: 'beat',
  leave: 'leave',
  tell: 'tell',
  counts: 'counts',
  admit: 'admit',
  note: 'note',
  notes: 'notes',
  rate: 'rate',
} as const;

export type ScriptName = keyof typeof FILES;

const directory = new URL('../../../../lua/', import.meta.url);
const readLua = (name: string): string => readFileSync(new URL(`${name}.lua`, directory), 'utf8');

function load(name: string): Script {
  const source = `${readLua('common')}\n${readLua(name)}`;
  return { name, source, sha: createHash('sha1').update(source).digest('hex') };
}

export const SCRIPTS = Object.fromEntries(
  Object.entries(FILES).map(([key, file]) => [key, load(file)]),
) as Record<ScriptName, Script>;
