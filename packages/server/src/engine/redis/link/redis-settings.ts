/** How the servers of a deployment are found, reached and used. */
import type { AccessSettings } from '../server/access-settings.ts';
import type { ServerAddress } from '../server/server-address.ts';

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
