/**
 * Who the masters are and which slots they have, asked of the servers themselves: one server, the sentinels, or
 * the nodes of a cluster.
 */
import { type ConnectionSettings, RedisConnection, ReplyError, type ServerAddress } from './connection.ts';
import { SLOTS } from './keys.ts';

export interface TopologySettings {
  readonly mode: 'standalone' | 'sentinel' | 'cluster';
  /** The server; the sentinels; some nodes of the cluster. */
  readonly nodes: readonly ServerAddress[];
  readonly sentinelMaster: string;
  readonly connection: ConnectionSettings;
  readonly sentinelUsername?: string | undefined;
  readonly sentinelPassword?: string | undefined;
}

export interface Master {
  readonly address: ServerAddress;
  /** First and last slot of each range. */
  readonly ranges: readonly (readonly [number, number])[];
}

export type Topology = readonly Master[];

const WHOLE_RANGE = [[0, SLOTS - 1]] as const;

/** `known` are servers that were masters before; they are asked first. */
export async function resolveTopology(
  settings: TopologySettings,
  known: readonly ServerAddress[] = [],
): Promise<Topology> {
  if (settings.mode === 'standalone') {
    return settings.nodes.slice(0, 1).map((address) => ({ address, ranges: WHOLE_RANGE }));
  }
  const asked = settings.mode === 'sentinel' ? settings.nodes : [...known, ...settings.nodes];
  const problems: string[] = [];
  for (const address of asked) {
    try {
      return settings.mode === 'sentinel'
        ? await askSentinel(address, settings)
        : await askCluster(address, settings);
    } catch (error) {
      problems.push(
        error instanceof ReplyError ? `${label(address)}: ${error.message}` : (error as Error).message,
      );
    }
  }
  throw new Error(
    `no ${settings.mode === 'sentinel' ? 'sentinel' : 'cluster node'} answers: ${problems.join('; ')}`,
  );
}

async function askSentinel(address: ServerAddress, settings: TopologySettings): Promise<Topology> {
  const { sentinelUsername: username, sentinelPassword: password, sentinelMaster } = settings;
  const connection = await RedisConnection.open(address, {
    ...settings.connection,
    username,
    password,
    database: 0,
  });
  try {
    const reply = await connection.call(['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', sentinelMaster]);
    if (!Array.isArray(reply))
      throw new Error(`sentinel ${label(address)} knows no master ${sentinelMaster}`);
    const [host, port] = reply as [string, string];
    return [{ address: { host, port: Number(port) }, ranges: WHOLE_RANGE }];
  } finally {
    connection.close();
  }
}

async function askCluster(address: ServerAddress, settings: TopologySettings): Promise<Topology> {
  const connection = await RedisConnection.open(address, settings.connection);
  try {
    const slots = (await connection.call(['CLUSTER', 'SLOTS'])) as [number, number, [string, number]][];
    const masters = new Map<string, { address: ServerAddress; ranges: [number, number][] }>();
    for (const [from, to, [host, port]] of slots) {
      // A server that does not know its own address names itself by nothing.
      const master = { host: host === '' || host === null ? address.host : host, port };
      const entry = masters.get(label(master)) ?? { address: master, ranges: [] };
      entry.ranges.push([from, to]);
      masters.set(label(master), entry);
    }
    if (masters.size === 0) throw new Error(`${label(address)} serves no slots`);
    return [...masters.values()];
  } finally {
    connection.close();
  }
}

export function label({ host, port }: ServerAddress): string {
  return `${host}:${port}`;
}
