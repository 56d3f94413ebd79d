/** The Lua scripts of `packages/server/lua`, called by their digest. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Argument, RedisConnection } from './connection.ts';
import { ReplyError } from './redis-errors.ts';

export interface Script {
  readonly source: string;
  readonly sha: string;
}

const LOG_SCRIPTS = {
  publish: 'publish',
  claim: 'claim',
  states: 'states',
  positions: 'positions',
  read: 'read',
  range: 'range',
  locate: 'locate',
  summaries: 'summaries',
  reportLoss: 'report_loss',
} as const;

const FLEET_SCRIPTS = {
  heartbeat: 'heartbeat',
  leaveFleet: 'leave_fleet',
  sendToNode: 'send_to_node',
  writeCounts: 'write_counts',
  admitStreams: 'admit_streams',
  appendNotes: 'append_notes',
  readNotes: 'read_notes',
  takeRate: 'take_rate',
} as const;

export type ScriptName = keyof typeof LOG_SCRIPTS | keyof typeof FLEET_SCRIPTS;

const FOLDER = new URL('../../../../lua/', import.meta.url);
const readLua = (path: string): string => readFileSync(new URL(`${path}.lua`, FOLDER), 'utf8');

function load(...paths: readonly string[]): Script {
  const source = paths.map(readLua).join('\n');
  return { source, sha: createHash('sha1').update(source).digest('hex') };
}

export const SCRIPTS = Object.fromEntries([
  ...Object.entries(LOG_SCRIPTS).map(([name, file]) => [name, load('prelude', 'log/format', `log/${file}`)]),
  ...Object.entries(FLEET_SCRIPTS).map(([name, file]) => [name, load('prelude', `fleet/${file}`)]),
]) as Record<ScriptName, Script>;

export interface ScriptRun {
  readonly script: Script;
  readonly keys: readonly string[];
  readonly args: readonly Argument[];
  /** The reply's strings come as bytes. */
  readonly asBytes: boolean;
  /** The slot is being moved to this server. */
  readonly isAsking: boolean;
}

export function runScript(connection: RedisConnection, run: ScriptRun): Promise<unknown> {
  const { script, keys, args, asBytes, isAsking } = run;
  // ASKING counts for the next command, which follows in the same turn.
  if (isAsking) connection.call(['ASKING']).catch(() => undefined);
  const command = ['EVALSHA', script.sha, String(keys.length), ...keys, ...args];
  return (asBytes ? connection.callForBytes(command) : connection.call(command)).catch((error: unknown) => {
    if (!(error instanceof ReplyError) || error.code !== 'NOSCRIPT') throw error;
    // Somebody has flushed the scripts. The caller tries again.
    return connection.call(['SCRIPT', 'LOAD', script.source]).then(() => {
      throw error;
    });
  });
}

export async function loadScripts(connection: RedisConnection): Promise<void> {
  for (const { source } of Object.values(SCRIPTS)) await connection.call(['SCRIPT', 'LOAD', source]);
}
