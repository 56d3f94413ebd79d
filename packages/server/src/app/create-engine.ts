/** The engine that the configuration asks for, with what it tells the log and the metrics. */
import { randomBytes } from 'node:crypto';
import type { Config } from '../config/config.ts';
import type { RedisConfig } from '../config/redis-config.ts';
import { EmbeddedEngine } from '../engine/embedded/embedded-engine.ts';
import { RedisEngine } from '../engine/redis/redis-engine.ts';
import type { Log } from '../observe/log/log.ts';
import type { Metrics } from '../observe/metrics/metrics.ts';

const DAY_MS = 86_400_000;

export interface EngineParts {
  readonly config: Config;
  readonly log: Log;
  readonly metrics: Metrics;
  /** The engine cannot go on; the process should end with a failure. */
  readonly onFatal: (message: string) => void;
}

export function createEngine(parts: EngineParts): EmbeddedEngine | RedisEngine {
  const { redis } = parts.config.engine;
  return redis === undefined ? createEmbeddedEngine(parts) : createRedisEngine(parts, redis);
}

function createEmbeddedEngine({ config, log, metrics, onFatal }: EngineParts): EmbeddedEngine {
  const { engine, history } = config;
  return new EmbeddedEngine({
    directory: engine.dataDir,
    maxMessagesPerChannel: history.maxMessagesPerChannel,
    maxBytesPerChannel: history.maxBytesPerChannel,
    maxBytes: history.maxBytes,
    maxChannels: history.maxChannels,
    channelRetentionMs: history.retentionDays * DAY_MS,
    idempotencyTtlMs: history.idempotencyTtlMs,
    idempotencyMaxKeys: history.idempotencyMaxKeys,
    maxQueueBytes: engine.queueMaxBytes,
    groupCommit: engine.isGroupCommit,
    now: Date.now,
    observer: {
      committed: (publications, seconds) => {
        metrics.engine.commitBatchSize.record(publications);
        metrics.engine.commitLatency.record(seconds);
      },
      commitFailed: (failure, message) => log.error({ failure }, `the store could not write: ${message}`),
      trimmed: (cause, rows) => {
        metrics.engine.trimmed[cause] += rows;
      },
      storeSetAside: (file) =>
        log.error({ file }, 'the store could not be read and was set aside; a new one was begun'),
      faulted: onFatal,
    },
  });
}

function createRedisEngine({ config, log, metrics }: EngineParts, redis: RedisConfig): RedisEngine {
  const { engine, history, publishing, service } = config;
  return new RedisEngine({
    mode: redis.mode,
    nodes: redis.nodes,
    sentinelMaster: redis.sentinelMaster,
    sentinelUsername: redis.sentinelUsername,
    sentinelPassword: redis.sentinelPassword,
    connection: {
      username: redis.username,
      password: redis.password,
      database: redis.database,
      tls: redis.tls,
      connectTimeoutMs: redis.connectTimeoutMs,
      callTimeoutMs: redis.socketTimeoutMs,
      // CLIENT SETNAME takes no spaces.
      name: service.name.replace(/[^\x21-\x7e]/g, '_'),
    },
    keyPrefix: redis.keyPrefix,
    nodeId: randomBytes(4).toString('hex'),
    maxMessagesPerChannel: history.maxMessagesPerChannel,
    maxBytesPerChannel: history.maxBytesPerChannel,
    channelRetentionMs: history.retentionDays * DAY_MS,
    idempotencyTtlMs: history.idempotencyTtlMs,
    maxQueueBytes: engine.queueMaxBytes,
    groupCommit: engine.isGroupCommit,
    ackReplicas: redis.ackReplicas,
    isReplicatedByDefault: publishing.ackLevel === 'replicated',
    maxConnections: redis.maxConnections,
    isProduction: service.environment === 'production',
    now: Date.now,
    random: Math.random,
    observer: {
      committed: (publications, seconds) => {
        metrics.engine.commitBatchSize.record(publications);
        metrics.engine.commitLatency.record(seconds);
      },
      serverReady: (server, version) => log.info({ server, version }, 'Redis is connected'),
      serverDown: (server, reason) => log.error({ server }, `Redis is away: ${reason}`),
      listenerBack: (server) => log.warn({ server }, 'the bus is heard again; positions are compared'),
      warned: (message) => log.warn(message),
      lost: (channel) =>
        log.error(
          { channel },
          'acknowledged messages are missing after a failover; streams are told by a gap',
        ),
    },
  });
}
