/** The Redis servers to connect to and how, derived from variables that can express it in several ways. */
import path from 'node:path';
import type { RedisNode } from './settings/kinds/network-settings.ts';
import type { Values } from './settings/schema.ts';

export interface RedisConfig {
  readonly mode: Values['REDIS_MODE'];
  /** The server; with `sentinel` the sentinels, with `cluster` some nodes of the cluster. */
  readonly nodes: readonly RedisNode[];
  /** The name by which the sentinels know the master. */
  readonly sentinelMaster: string;
  readonly database: number;
  readonly username?: string;
  readonly password?: string;
  readonly sentinelUsername?: string;
  readonly sentinelPassword?: string;
  /** Absent without TLS. Paths are absolute. */
  readonly tls?: {
    readonly ca?: string;
    readonly cert?: string;
    readonly key?: string;
    /** The server's certificate must be valid. */
    readonly verify: boolean;
  };
  readonly keyPrefix: string;
  readonly connectTimeoutMs: number;
  /** Time limit for the reply to a command. */
  readonly socketTimeoutMs: number;
  readonly maxConnections: number;
  /** Replicas that must have a message for `ack=replicated`. */
  readonly ackReplicas: number;
}

const SECOND_MS = 1000;

/** `values` have passed the checks. Returns `undefined` for another engine. */
export function toRedisConfig(values: Values, rootDir: string): RedisConfig | undefined {
  if (values.MESSAGE_QUEUE_TYPE !== 'redis') return undefined;
  const url = values.REDIS_URL;
  const server = url ?? { host: values.REDIS_HOST, port: values.REDIS_PORT };
  const { username, password } = url?.credentials ?? {
    username: values.REDIS_USERNAME,
    password: values.REDIS_PASSWORD,
  };
  const sentinel = {
    sentinelUsername: values.REDIS_SENTINEL_USERNAME,
    sentinelPassword: values.REDIS_SENTINEL_PASSWORD,
  };
  return {
    mode: values.REDIS_MODE,
    nodes: values.REDIS_NODES ?? [{ host: server.host, port: server.port }],
    sentinelMaster: values.REDIS_SENTINEL_MASTER,
    // A cluster has only database 0; the default of REDIS_DB is meant for servers with several.
    database: values.REDIS_MODE === 'cluster' ? 0 : (url?.database ?? values.REDIS_DB),
    ...present({ username, password }),
    ...(values.REDIS_MODE === 'sentinel' ? present(sentinel) : {}),
    ...(usesTls(values) ? { tls: tlsOf(values, rootDir) } : {}),
    keyPrefix: values.REDIS_KEY_PREFIX,
    connectTimeoutMs: values.REDIS_CONNECTION_TIMEOUT * SECOND_MS,
    socketTimeoutMs: values.REDIS_SOCKET_TIMEOUT * SECOND_MS,
    maxConnections: values.REDIS_MAX_CONNECTIONS,
    ackReplicas: values.ACK_REPLICAS,
  };
}

/** The scheme of REDIS_URL decides; without a URL, REDIS_TLS does. */
export function usesTls(values: Values): boolean {
  return values.REDIS_URL?.isTls ?? values.REDIS_TLS;
}

function tlsOf(values: Values, rootDir: string): NonNullable<RedisConfig['tls']> {
  const absolute = (file: string | undefined): string | undefined =>
    file === undefined ? undefined : path.resolve(rootDir, file);
  return {
    ...present({
      ca: absolute(values.REDIS_TLS_CA_PATH),
      cert: absolute(values.REDIS_TLS_CERT_PATH),
      key: absolute(values.REDIS_TLS_KEY_PATH),
    }),
    verify: values.REDIS_TLS_VERIFY,
  };
}

/** Drops the fields that are `undefined`. */
function present<F extends string>(fields: Readonly<Record<F, string | undefined>>): { [K in F]?: string } {
  const found = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(found) as { [K in F]?: string };
}
