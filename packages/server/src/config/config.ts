/**
 * The configuration as the service uses it: grouped by the part that takes it, with units in the names and nothing
 * left to interpret. `app/` hands each group on; no other code reads variables. A limit, an age or a ttl of 0 means
 * that there is none, as in the variable that it comes from.
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
  /** The URL that OTLP is posted to. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly serviceName: string;
  /** Share of traced publishes among those that come without a trace, from 0 to 1. */
  readonly sampleRatio: number;
}

export interface Config {
  readonly service: {
    readonly name: string;
    readonly version: string;
    readonly environment: Environment;
    readonly host: string;
    readonly port: number;
    /** Number of processes that share the port. */
    readonly workers: number;
    readonly listenBacklog: number;
    readonly drainMs: number;
    readonly servesDocs: boolean;
  };
  readonly engine: {
    /** `undefined` for the embedded engine. */
    readonly redis: RedisConfig | undefined;
    /** Absolute path of the embedded engine's folder. */
    readonly dataDir: string;
    readonly isGroupCommit: boolean;
    readonly queueMaxBytes: number;
  };
  readonly history: {
    readonly maxMessagesPerChannel: number;
    readonly maxBytesPerChannel: number;
    readonly maxBytes: number;
    /** Ttl of messages that name none. */
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
    /** Level of publishes that name none. */
    readonly ackLevel: Values['ACK_LEVEL'];
  };
  readonly streams: {
    readonly maxConnections: number;
    readonly maxConnectionsPerUser: number;
    readonly maxConnectionsPerAddress: number;
    readonly maxChannels: number;
    /** How long sent bytes may stay unread. */
    readonly stallMs: number;
    readonly heartbeatMs: number;
    /** Before jitter. */
    readonly retryMs: number;
    /** Before jitter. */
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
    /** `undefined` for plain HTTP. */
    readonly tls: TlsPaths | undefined;
    /** `undefined` when browsers are not told to stay with HTTPS. */
    readonly hstsSeconds: number | undefined;
  };
  readonly access: AccessConfig;
  /** `undefined` when the service registers nowhere. */
  readonly gateway:
    | {
        readonly url: string;
        /** `undefined` when it is derived from host and port. */
        readonly publicUrl: string | undefined;
        /** `undefined` when one registration is enough. */
        readonly intervalMs: number | undefined;
      }
    | undefined;
  readonly metrics: {
    readonly isEnabled: boolean;
    readonly host: string;
    readonly port: number;
  };
  /** `undefined` when tracing is off. */
  readonly tracing: TracingConfig | undefined;
  readonly allowsProfiling: boolean;
  readonly log: {
    readonly level: Values['LOG_LEVEL'];
    readonly format: Values['LOG_FORMAT'];
    /** Absolute path; `undefined` for standard output only. */
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
    history: toHistoryConfig(values),
    publishing: {
      maxMessageBytes: values.MAX_MESSAGE_SIZE,
      maxBatchMessages: values.MAX_BATCH_SIZE,
      maxBatchBytes: values.MAX_BATCH_BYTES,
      maxJsonDepth: values.MAX_JSON_DEPTH,
      ackLevel: values.ACK_LEVEL,
    },
    streams: toStreamsConfig(values),
    http: toHttpConfig(values, rootDir),
    access: toAccessConfig(values, rootDir),
    gateway: toGatewayConfig(values),
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

function toHistoryConfig(values: Values): Config['history'] {
  return {
    maxMessagesPerChannel: values.MESSAGE_QUEUE_SIZE,
    maxBytesPerChannel: values.CHANNEL_HISTORY_MAX_BYTES,
    maxBytes: values.HISTORY_MAX_BYTES,
    messageTtlMs: values.MESSAGE_TTL * SECOND_MS,
    retentionDays: values.CHANNEL_RETENTION_DAYS,
    maxChannels: values.MAX_CHANNELS,
    idempotencyTtlMs: values.IDEMPOTENCY_TTL * SECOND_MS,
    idempotencyMaxKeys: values.IDEMPOTENCY_MAX_KEYS,
  };
}

function toStreamsConfig(values: Values): Config['streams'] {
  return {
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
  };
}

function toHttpConfig(values: Values, rootDir: string): Config['http'] {
  const hasHsts = values.ENABLE_SSL && values.HSTS_MAX_AGE > 0;
  return {
    allowedOrigins: values.ALLOWED_ORIGINS,
    allowsCredentials: values.CORS_CREDENTIALS,
    trustProxy: values.TRUST_PROXY,
    maxHeaderBytes: values.MAX_HEADER_BYTES,
    requestTimeoutMs: values.REQUEST_TIMEOUT * SECOND_MS,
    tls: tlsPaths(values, rootDir),
    hstsSeconds: hasHsts ? values.HSTS_MAX_AGE : undefined,
  };
}

function toGatewayConfig(values: Values): Config['gateway'] {
  if (values.GATEWAY_SERVICE_URL === undefined) return undefined;
  const intervalMs = values.GATEWAY_REGISTER_INTERVAL * SECOND_MS;
  return {
    url: values.GATEWAY_SERVICE_URL,
    publicUrl: values.SERVICE_PUBLIC_URL,
    intervalMs: intervalMs > 0 ? intervalMs : undefined,
  };
}

function toTracingConfig(values: Values): TracingConfig | undefined {
  if (!values.ENABLE_TRACING) return undefined;
  const base = values.OTEL_EXPORTER_OTLP_ENDPOINT ?? 'http://127.0.0.1:4318';
  return {
    // [spec] OTLP exporter: the path is appended to the endpoint of all signals, but not to the endpoint of traces.
    url: values.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? `${base.replace(/\/+$/, '')}/v1/traces`,
    headers: values.OTEL_EXPORTER_OTLP_HEADERS ?? {},
    serviceName: values.OTEL_SERVICE_NAME ?? values.SERVICE_NAME,
    sampleRatio: values.OTEL_TRACES_SAMPLER_ARG,
  };
}
