/** How the servers of a deployment are found, reached and used. */
import type { ServerAddress } from './server-address.ts';

export interface AccessSettings {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly database: number;
  /** Absent without TLS. Paths of PEM files. */
  readonly tls?:
    | { readonly ca?: string; readonly cert?: string; readonly key?: string; readonly verify: boolean }
    | undefined;
  readonly connectTimeoutMs: number;
  /** A call that is not answered within this time fails its connection. */
  readonly socketTimeoutMs: number;
  /** Name of the connections in `CLIENT LIST`. */
  readonly clientName: string;
}

export interface RedisSettings extends AccessSettings {
  readonly mode: 'standalone' | 'sentinel' | 'cluster';
  /** The server; the sentinels; or some nodes of the cluster. */
  readonly nodes: readonly ServerAddress[];
  /** Name by which the sentinels know the master. */
  readonly sentinelMaster: string;
  readonly sentinelUsername?: string | undefined;
  readonly sentinelPassword?: string | undefined;
  /** Start of every key and bus channel. */
  readonly keyPrefix: string;
  /** Most connections of this node to all servers. */
  readonly maxConnections: number;
  /** Replicas that must confirm a publish with `ack=replicated`. */
  readonly ackReplicas: number;
}
