/** A redis engine without a service around it, with generous bounds where a test does not care. */
import { createRedis, type RedisOptions } from '@message-push/server/engine/redis/create-redis';
import type { RedisEngine } from '@message-push/server/engine/redis/redis-engine';

export type RedisSettings = RedisOptions['settings'];

export interface RedisEngineOptions
  extends Partial<RedisOptions['bounds']>,
    Partial<Pick<RedisOptions['publishing'], 'idempotencyTtlMs'>> {
  readonly nodeId: string;
  readonly settings: Partial<RedisSettings> & Pick<RedisSettings, 'nodes' | 'keyPrefix'>;
}

export function createRedisEngine({ nodeId, settings, ...bounds }: RedisEngineOptions): RedisEngine {
  const { engine } = createRedis({
    settings: {
      mode: 'standalone',
      sentinelMaster: 'mymaster',
      database: 0,
      connectTimeoutMs: 2000,
      socketTimeoutMs: 5000,
      clientName: 'test',
      maxConnections: 50,
      ackReplicas: 1,
      ...settings,
    },
    expectations: { isReplicatedByDefault: false, isProduction: false },
    nodeId,
    bounds: {
      maxMessagesPerChannel: bounds.maxMessagesPerChannel ?? 10_000,
      maxBytesPerChannel: bounds.maxBytesPerChannel ?? 16 * 1024 * 1024,
      channelRetentionMs: bounds.channelRetentionMs ?? 7 * 86_400_000,
    },
    publishing: {
      idempotencyTtlMs: bounds.idempotencyTtlMs ?? 300_000,
      maxQueueBytes: 16 * 1024 * 1024,
      groupCommit: true,
    },
    streams: {
      local: () => {
        throw new Error('unreachable: the fleet is not opened');
      },
      maxConnectionsPerUser: 0,
    },
    now: Date.now,
    random: Math.random,
  });
  return engine;
}
