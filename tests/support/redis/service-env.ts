/** Settings with which a service uses a Redis of a test. */
import type { ClusterSetup } from './cluster-setup.ts';
import type { RedisServer } from './redis-server.ts';
import type { SentinelSetup } from './sentinel-setup.ts';

type Env = Readonly<Record<string, string>>;

export function standaloneEnv({ host, port, options }: RedisServer): Env {
  const { password, user, tls } = options;
  const secret = user?.password ?? password;
  return {
    MESSAGE_QUEUE_TYPE: 'redis',
    REDIS_HOST: host,
    REDIS_PORT: String(port),
    ...(user && { REDIS_USERNAME: user.name }),
    ...(secret !== undefined && { REDIS_PASSWORD: secret }),
    ...(tls && { REDIS_TLS: 'true', REDIS_TLS_CA_PATH: tls.ca }),
  };
}

export function sentinelEnv({ sentinels, masterName }: SentinelSetup): Env {
  return {
    MESSAGE_QUEUE_TYPE: 'redis',
    REDIS_MODE: 'sentinel',
    REDIS_NODES: sentinels.map((s) => s.address).join(','),
    REDIS_SENTINEL_MASTER: masterName,
  };
}

/** Names three of its servers; the service finds the others. */
export function clusterEnv({ servers }: ClusterSetup): Env {
  return {
    MESSAGE_QUEUE_TYPE: 'redis',
    REDIS_MODE: 'cluster',
    REDIS_NODES: servers
      .slice(0, 3)
      .map((s) => s.address)
      .join(','),
    REDIS_DB: '0',
  };
}
