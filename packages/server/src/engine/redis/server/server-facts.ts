/** What a server tells of itself in `INFO`. */
import type { RedisConnection } from './connection.ts';

export interface ServerFacts {
  /** Changes with every start of the server: epochs of logs belong to a run. */
  readonly runId: string;
  readonly version: string;
  readonly isCluster: boolean;
  /** The whole text, for the checks at the start. */
  readonly info: string;
}

/** Rejects if the server is no master, or still loads its data. */
export async function readServerFacts(connection: RedisConnection): Promise<ServerFacts> {
  const info = String(await connection.call(['INFO']));
  const field = (name: string): string => infoField(info, name);
  if (field('role') !== 'master') throw new Error(`the server is a ${field('role')}, not a master`);
  if (field('loading') === '1') throw new Error('the server is loading its data');
  return {
    runId: field('run_id'),
    version: field('valkey_version') || field('redis_version'),
    isCluster: field('cluster_enabled') === '1',
    info,
  };
}

/** A field of `INFO`; '' when there is none. */
export function infoField(info: string, name: string): string {
  return new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';
}
