/**
 * Finds the masters and their slots by asking the servers: the only one, the sentinels, or the nodes of a cluster.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { RedisConnection } from '../server/connection.ts';
import { ReplyError } from '../server/redis-errors.ts';
import { labelOf, type ServerAddress } from '../server/server-address.ts';
import { SLOTS } from '../server/slots.ts';
import type { RedisSettings } from './redis-settings.ts';

export interface Master {
  readonly address: ServerAddress;
  /** First and last slot of each range. */
  readonly ranges: readonly (readonly [number, number])[];
}

export interface Topology {
  readonly masters: readonly Master[];
  /** Rises with every failover and every change of slots. A server that tells a lower one has not heard of it yet. */
  readonly version: number;
}

const WHOLE_RANGE = [[0, SLOTS - 1]] as const;
/** Time that the others have once one has answered. */
const PATIENCE_MS = 500;

/**
 * Asks all of them and believes the one that has seen the most: after a partition, servers that were cut off still
 * tell of a master that was replaced. `known` are servers that were masters before; in a cluster they are asked too.
 */
export async function resolveTopology(
  settings: RedisSettings,
  known: readonly ServerAddress[] = [],
): Promise<Topology> {
  if (settings.mode === 'standalone') {
    const [address] = settings.nodes;
    return { masters: address === undefined ? [] : [{ address, ranges: WHOLE_RANGE }], version: 0 };
  }
  const isSentinel = settings.mode === 'sentinel';
  const asked = isSentinel ? settings.nodes : distinct([...known, ...settings.nodes]);
  const problems: Error[] = [];
  let newest: Topology | undefined;
  const answered = Promise.withResolvers<void>();
  const all = Promise.all(
    asked.map(async (address) => {
      try {
        const topology = await (isSentinel ? askSentinel(address, settings) : askCluster(address, settings));
        if (newest === undefined || topology.version > newest.version) newest = topology;
        answered.resolve();
      } catch (error) {
        problems.push(
          error instanceof ReplyError
            ? new ReplyError(`${labelOf(address)}: ${error.message}`)
            : (error as Error),
        );
      }
    }),
  );
  await Promise.race([all, answered.promise.then(() => pause(PATIENCE_MS, undefined, { ref: false }))]);
  if (newest !== undefined) return newest;
  const texts = problems.map(({ message }) => message).join('; ');
  throw new Error(`no ${isSentinel ? 'sentinel' : 'cluster node'} answers: ${texts}`);
}

async function askSentinel(address: ServerAddress, settings: RedisSettings): Promise<Topology> {
  const { sentinelUsername: username, sentinelPassword: password, sentinelMaster } = settings;
  const connection = await RedisConnection.open(address, {
    ...settings,
    username,
    password,
    database: 0,
  });
  try {
    const reply = await connection.call(['SENTINEL', 'MASTERS']);
    const master = (reply as unknown[]).map(fieldsOf).find((fields) => fields.get('name') === sentinelMaster);
    if (master === undefined)
      throw new Error(`sentinel ${labelOf(address)} knows no master ${sentinelMaster}`);
    return {
      masters: [
        {
          address: { host: String(master.get('ip')), port: Number(master.get('port')) },
          ranges: WHOLE_RANGE,
        },
      ],
      version: Number(master.get('config-epoch')),
    };
  } finally {
    connection.close();
  }
}

async function askCluster(address: ServerAddress, settings: RedisSettings): Promise<Topology> {
  const connection = await RedisConnection.open(address, settings);
  try {
    const [slots, info] = (await Promise.all([
      connection.call(['CLUSTER', 'SLOTS']),
      connection.call(['CLUSTER', 'INFO']),
    ])) as [[number, number, [string, number]][], string];
    const masters = new Map<string, { address: ServerAddress; ranges: [number, number][] }>();
    for (const [from, to, [host, port]] of slots) {
      // A server that does not know its own address names itself ''.
      const master = { host: host === '' || host === null ? address.host : host, port };
      const entry = masters.get(labelOf(master)) ?? { address: master, ranges: [] };
      entry.ranges.push([from, to]);
      masters.set(labelOf(master), entry);
    }
    if (masters.size === 0) throw new Error(`${labelOf(address)} serves no slots`);
    return {
      masters: [...masters.values()],
      version: Number(/^cluster_current_epoch:(\d+)/m.exec(info)?.[1] ?? 0),
    };
  } finally {
    connection.close();
  }
}

/** Reads a reply of alternating names and values, or of both as a map. */
function fieldsOf(reply: unknown): ReadonlyMap<string, unknown> {
  if (!Array.isArray(reply)) return new Map(Object.entries(reply as object));
  const fields = new Map<string, unknown>();
  for (let i = 0; i + 1 < reply.length; i += 2) fields.set(String(reply[i]), reply[i + 1]);
  return fields;
}

function distinct(addresses: readonly ServerAddress[]): ServerAddress[] {
  return [...new Map(addresses.map((address) => [labelOf(address), address])).values()];
}
