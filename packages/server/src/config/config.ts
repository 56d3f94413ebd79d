/**
 * The configuration as the service uses it: grouped by who takes it, units in the names, nothing to interpret.
 * `app.ts` hands each part on; no other code reads variables.
 */
import path from 'node:path';
import type { EventMode } from '@message-push/protocol';
import { type AccessConfig, toAccessConfig } from './access-config.ts';
import { tlsPaths } from './checks/tls-checks.ts';
import { type RedisConfig, toRedisConfig } from './redis-config.ts';
import type { AllowedOrigins, TrustProxy } from './settings/kinds/network-settings.ts';
import type { Environment } from './settings/kinds/setting.ts';
import type { Values } from './settings/schema.ts';
import type { TlsPaths } from './tls-files.ts';

export interface TracingConfig {
  /** Where OTLP is posted to. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly serviceName: string;
  /** Of publishes that come without a trace, 0 to 1. */
  readonly sampleRatio: number;
}

export interface Config {
  readonly service: {
    readonly name: string;
    readonly version: string;
    readonly environment: Environment;
    readonly host: string;
    readonly port: number;
    /** Processes that share the port. */
    readonly workers: number;
    readonly listenBacklog: number;
    readonly drainMs: number;
    readonly servesDocs: boolean;
  };
  readonly engine: {
    /** undefined: the embedded engine. */
    readonly redis: RedisConfig | undefined;
    /** Of the embedded engine. Absolute. */
    readonly dataDir: string;
    readonly isGroupCommit: boolean;
    readonly queueMaxBytes: number;
  };
  readonly history: {
    readonly maxMessagesPerChannel: number;
    readonly maxBytesPerChannel: number;
    readonly maxBytes: number;
    /** Of messages without a ttl of their own; 0 when they stay until they are trimmed. */
    readonly messageTtlMs: number;
    readonly retentionDays: number;
    readonly maxChannels: number;
    readonly idempotencyTtlMs: number;
    readonly idempotencyMaxKeys: number;
  };
  readonly publishing: {
    readonly maxMessageBytes: number;
    readonly maxBatchMessages: number;
    readonly maxBatchBytes: number;
    readonly maxJsonDepth: number;
    /** Of publishes that name none. */
    readonly ackLevel: Values['ACK_LEVEL'];
  };
  readonly streams: {
    readonly maxConnections: number;
    /** 0 when there is no limit. */
    readonly maxConnectionsPerUser: number;
    /** 0 when there is no limit. */
    readonly maxConnectionsPerAddress: number;
    readonly maxChannels: number;
    /** How long sent bytes may stay unread. */
    readonly stallMs: number;
    readonly heartbeatMs: number;
    /** Before jitter. */
    readonly retryMs: number;
    /** Before jitter; 0 when streams may live for ever. */
    readonly maxAgeMs: number;
    readonly maxOutboxBytes: number;
    readonly maxTotalOutboxBytes: number;
    readonly catchUpPageBytes: number;
    readonly flushIntervalMs: number;
    readonly eventMode: EventMode;
    readonly errorEvent: string;
  };
  readonly http: {
    readonly allowedOrigins: AllowedOrigins;
    readonly allowsCredentials: boolean;
    readonly trustProxy: TrustProxy;
    readonly maxHeaderBytes: number;
    readonly requestTimeoutMs: number;
    /** undefined: plain HTTP. */
    readonly tls: TlsPaths | undefined;
    /** undefined: browsers are not told to stay with HTTPS. */
    readonly hstsSeconds: number | undefined;
  };
  readonly access: AccessConfig;
  /** undefined: the service registers nowhere. */
  readonly gateway:
    | {
        readonly url: string;
        /** undefined: made of host and port. */
        readonly publicUrl: string | undefined;
        /** undefined: once. */
        readonly intervalMs: number | undefined;
      }
    | undefined;
  readonly metrics: {
    readonly isEnabled: boolean;
    readonly host: string;
    readonly port: number;
  };
  /** undefined: off. */
  readonly tracing: TracingConfig | undefined;
  readonly allowsProfiling: boolean;
  readonly log: {
    readonly level: Values['LOG_LEVEL'];
    readonly format: Values['LOG_FORMAT'];
    /** Absolute; undefined: standard output only. */
    readonly file: string | undefined;
    readonly isRotated: boolean;
    readonly maxBytes: number;
    readonly backups: number;
  };
}

const SECOND_MS = 1000;
/** Below this, Node's sockets do not report that they have drained. */
const MIN_OUTBOX_BYTES = 16 * 1024;

export function toConfig(values: Values, rootDir: string): Config {
  return {
    service: {
      name: values.SERVICE_NAME,
      version: values.SERVICE_VERSION,
      environment: values.ENVIRONMENT,
      host: values.SERVICE_HOST,
      port: values.SERVICE_PORT,
      workers: values.WORKER_THREADS,
      listenBacklog: values.LISTEN_BACKLOG,
      drainMs: values.DRAIN_TIMEOUT * SECOND_MS,
      servesDocs: values.ENABLE_SWAGGER,
    },
    engine: {
      redis: toRedisConfig(values, rootDir),
      dataDir: path.resolve(rootDir, values.DATA_DIR),
      isGroupCommit: values.ENABLE_ASYNC_PROCESSING,
      queueMaxBytes: values.PUBLISH_QUEUE_MAX_BYTES,
    },
    history: {
      maxMessagesPerChannel: values.MESSAGE_QUEUE_SIZE,
      maxBytesPerChannel: values.CHANNEL_HISTORY_MAX_BYTES,
      maxBytes: values.HISTORY_MAX_BYTES,
      messageTtlMs: values.MESSAGE_TTL * SECOND_MS,
      retentionDays: values.CHANNEL_RETENTION_DAYS,
      maxChannels: values.MAX_CHANNELS,
      idempotencyTtlMs: values.IDEMPOTENCY_TTL * SECOND_MS,
      idempotencyMaxKeys: values.IDEMPOTENCY_MAX_KEYS,
    },
    publishing: {
      maxMessageBytes: values.MAX_MESSAGE_SIZE,
      maxBatchMessages: values.MAX_BATCH_SIZE,
      maxBatchBytes: values.MAX_BATCH_BYTES,
      maxJsonDepth: values.MAX_JSON_DEPTH,
      ackLevel: values.ACK_LEVEL,
    },
    streams: {
      maxConnections: values.MAX_CONNECTIONS,
      maxConnectionsPerUser: values.MAX_CONNECTIONS_PER_USER,
      maxConnectionsPerAddress: values.MAX_CONNECTIONS_PER_ADDRESS,
      maxChannels: values.MAX_CHANNELS_PER_STREAM,
      stallMs: values.CONNECTION_TIMEOUT * SECOND_MS,
      heartbeatMs: values.HEARTBEAT_INTERVAL * SECOND_MS,
      retryMs: values.STREAM_RETRY_MS,
      maxAgeMs: values.STREAM_MAX_AGE * SECOND_MS,
      maxOutboxBytes: Math.max(MIN_OUTBOX_BYTES, values.MAX_OUTBOX_BYTES),
      maxTotalOutboxBytes: values.MAX_TOTAL_OUTBOX_BYTES,
      catchUpPageBytes: values.CATCH_UP_PAGE_BYTES,
      flushIntervalMs: values.FLUSH_INTERVAL_MS,
      eventMode: values.SSE_EVENT_MODE,
      errorEvent: values.SSE_ERROR_EVENT,
    },
    http: {
      allowedOrigins: values.ALLOWED_ORIGINS,
      allowsCredentials: values.CORS_CREDENTIALS,
      trustProxy: values.TRUST_PROXY,
      maxHeaderBytes: values.MAX_HEADER_BYTES,
      requestTimeoutMs: values.REQUEST_TIMEOUT * SECOND_MS,
      tls: tlsPaths(values, rootDir),
      hstsSeconds: values.ENABLE_SSL ? unlessZero(values.HSTS_MAX_AGE) : undefined,
    },
    access: toAccessConfig(values, rootDir),
    gateway:
      values.GATEWAY_SERVICE_URL === undefined
        ? undefined
        : {
            url: values.GATEWAY_SERVICE_URL,
            publicUrl: values.SERVICE_PUBLIC_URL,
            intervalMs: unlessZero(values.GATEWAY_REGISTER_INTERVAL * SECOND_MS),
          },
    metrics: {
      isEnabled: values.ENABLE_METRICS,
      host: values.METRICS_HOST,
      port: values.METRICS_PORT,
    },
    tracing: toTracingConfig(values),
    allowsProfiling: values.PROFILING,
    log: {
      level: values.DEBUG ? 'DEBUG' : values.LOG_LEVEL,
      format: values.LOG_FORMAT,
      file: values.LOG_FILE === undefined ? undefined : path.resolve(rootDir, values.LOG_FILE),
      isRotated: values.LOG_ROTATE,
      maxBytes: values.LOG_MAX_SIZE,
      backups: values.LOG_BACKUP_COUNT,
    },
  };
}

function toTracingConfig(values: Values): TracingConfig | undefined {
  if (!values.ENABLE_TRACING) return undefined;
  const base = values.OTEL_EXPORTER_OTLP_ENDPOINT ?? 'http://127.0.0.1:4318';
  return {
    // [spec] OTLP exporter: the path is added to the endpoint of all signals, and not to that of traces.
    url: values.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? `${base.replace(/\/+$/, '')}/v1/traces`,
    headers: values.OTEL_EXPORTER_OTLP_HEADERS ?? {},
    serviceName: values.OTEL_SERVICE_NAME ?? values.SERVICE_NAME,
    sampleRatio: values.OTEL_TRACES_SAMPLER_ARG,
  };
}

function unlessZero(value: number): number | undefined {
  return value === 0 ? undefined : value;
}
