/** Creates the engine that the configuration asks for, with its reports to the log and the metrics. */
import { randomBytes } from 'node:crypto';
import type { Config } from '../config/config.ts';
import type { RedisConfig } from '../config/redis-config.ts';
import type { LocalDirectory } from '../core/directory.ts';
import { EmbeddedEngine } from '../engine/embedded/embedded-engine.ts';
import { createRedis } from '../engine/redis/create-redis.ts';
import type { Fleet } from '../engine/redis/fleet/fleet.ts';
import type { RedisEngine } from '../engine/redis/redis-engine.ts';
import type { Log } from '../observe/log/log.ts';
import type { Metrics } from '../observe/metrics/metrics.ts';

const DAY_MS = 86_400_000;

export interface EngineParts {
  readonly config: Config;
  readonly log: Log;
  readonly metrics: Metrics;
  /** This node's streams; asked for when they are needed, because streams are made with the engine. */
  readonly local: () => LocalDirectory;
  /** The engine cannot go on; the process should end with a failure. */
  readonly onFatal: (message: string) => void;
}

export interface CreatedEngine {
  readonly engine: EmbeddedEngine | RedisEngine;
  /** The nodes that share the engine's store; absent where one process is everything. */
  readonly fleet?: Fleet;
}

export function createEngine(parts: EngineParts): CreatedEngine {
  const { redis } = parts.config.engine;
  return redis === undefined ? { engine: createEmbeddedEngine(parts) } : createRedisEngine(parts, redis);
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
        log.error({ file }, 'the store could not be read and was set aside; a new one was created'),
      faulted: onFatal,
    },
  });
}

function createRedisEngine({ config, log, metrics, local }: EngineParts, redis: RedisConfig): CreatedEngine {
  const { engine, history, publishing, service, streams } = config;
  return createRedis({
    settings: {
      ...redis,
      // CLIENT SETNAME takes no spaces.
      clientName: service.name.replace(/[^\x21-\x7e]/g, '_'),
    },
    expectations: {
      isReplicatedByDefault: publishing.ackLevel === 'replicated',
      isProduction: service.environment === 'production',
    },
    nodeId: randomBytes(4).toString('hex'),
    bounds: {
      maxMessagesPerChannel: history.maxMessagesPerChannel,
      maxBytesPerChannel: history.maxBytesPerChannel,
      channelRetentionMs: history.retentionDays * DAY_MS,
    },
    publishing: {
      idempotencyTtlMs: history.idempotencyTtlMs,
      maxQueueBytes: engine.queueMaxBytes,
      groupCommit: engine.isGroupCommit,
    },
    streams: { local, maxConnectionsPerUser: streams.maxConnectionsPerUser },
    now: Date.now,
    random: Math.random,
    observer: {
      committed: (publications, seconds) => {
        metrics.engine.commitBatchSize.record(publications);
        metrics.engine.commitLatency.record(seconds);
      },
      serverReady: (server, version) => log.info({ server, version }, 'Redis is connected'),
      serverDown: (server, reason) => log.error({ server }, `Redis is unreachable: ${reason}`),
      listenerBack: (server) =>
        log.warn({ server }, 'subscribed to the bus again; positions are being compared'),
      warned: (message) => log.warn(message),
      lost: (channel) =>
        log.error({ channel }, 'acknowledged messages are missing after a failover; their streams get a gap'),
    },
  });
}
