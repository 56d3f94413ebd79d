/**
 * The application: the one place that names concrete classes and wires them, in the order in which a message
 * passes. Starting either succeeds as a whole or rejects with a sentence for the operator.
 */
import { tmpdir } from 'node:os';
import type { Config } from '../config/config.ts';
import type { LocalDirectory } from '../core/directory.ts';
import type { Engine } from '../core/engine.ts';
import { isTrustedOrigin } from '../http/cors.ts';
import type { Log } from '../observe/log/log.ts';
import type { Metrics } from '../observe/metrics/metrics.ts';
import { Profiler } from '../observe/profiler.ts';
import { createStreamCore, type StreamCore } from '../sse/stream-core.ts';
import type { ProcessPlace } from '../workers/process-place.ts';
import { Closers } from './closers.ts';
import { createAccess } from './create-access.ts';
import { createEngine } from './create-engine.ts';
import { corsRules, createHttp } from './create-http.ts';
import { createMetricsEndpoint } from './create-metrics-endpoint.ts';
import { createPublisher } from './create-publisher.ts';
import { createTracer } from './create-tracer.ts';
import { createViews } from './create-views.ts';
import { streamsObserver } from './streams-observer.ts';

export interface App {
  readonly port: number;
  readonly metricsPort: number | undefined;
  /** All metrics in Prometheus' text format. */
  readonly metricsText: () => Promise<string>;
  /** Drains and closes, within DRAIN_TIMEOUT and a little. */
  stop(): Promise<void>;
}

export interface AppOptions {
  readonly config: Config;
  readonly place: ProcessPlace;
  readonly log: Log;
  readonly metrics: Metrics;
  /** The engine cannot go on; the process should end with a failure. */
  readonly onFatal: (message: string) => void;
}

/** Streams are told to go within this share of the drain window; the rest is for what is under way. */
const DRAIN_SHARE = 0.8;
/** For the spans that wait, at the end: a collector that is dead must not hold up a stop. */
const TRACE_FLUSH_MS = 2000;

export async function startApp(options: AppOptions): Promise<App> {
  const { log } = options;
  const closers = new Closers();
  try {
    return await start(options, closers);
  } catch (error) {
    await closers.unwind().catch((failure: unknown) => log.error({ err: failure }, 'closing failed'));
    throw error;
  }
}

async function start({ config, place, log, metrics, onFatal }: AppOptions, closers: Closers): Promise<App> {
  const now = Date.now;
  const engine = createEngine({ config, log, metrics, onFatal });
  const tracer = await createTracer({ config, engineKind: engine.kind, log, counters: metrics.traces });
  const views = createViews({ config, engine, local: (): LocalDirectory => core.directory });
  const access = await createAccess({
    config: config.access,
    log,
    now,
    isTrustedOrigin: (origin) => isTrustedOrigin(origin, corsRules(config)),
    notes: views.notes,
    counters: views.counters,
    endStreams: (isConcerned) => core.streams.endRevoked(isConcerned),
    credentialOf: (connectionId) => core.streams.credentialOf(connectionId),
  });
  metrics.streams.limit = config.streams.maxConnections;
  const core: StreamCore = createStreamCore({
    engine,
    counters: metrics.streams,
    tracer,
    settings: config.streams,
    retentionDays: config.history.retentionDays,
    now,
    random: Math.random,
    observer: streamsObserver(log, metrics),
    onMembership: views.onMembership,
    userQuota: views.userQuota,
    isRevoked: access.isRevoked,
  });
  const publisher = createPublisher({ config, engine, audience: views.audience, tracer, log, metrics, now });
  const profiler = createProfiler(config, engine.kind, place);
  const { streams, directory: local } = core;
  const { directory } = views;
  const backups = engine.kind === 'embedded' ? engine : undefined;
  const http = await createHttp({
    config,
    place,
    log,
    metrics,
    engine,
    backups,
    publisher,
    streams,
    local,
    directory,
    access,
    profiler,
    now,
  });
  const endpoint = createMetricsEndpoint({ config, place, log, metrics, engine, local, directory });

  closers.add('the metrics', () => endpoint.close());
  closers.add('the tracer', () => tracer?.close(TRACE_FLUSH_MS));
  await engine.open(core.listener);
  closers.add('the engine', () => engine.close());
  closers.add('the views', () => views.close());
  await views.open();
  closers.add('access', () => access.close());
  await access.open();
  await endpoint.open();
  closers.add('the API', () => http.close());
  closers.add('the streams', () => core.stop());
  core.start();
  await http.start();

  const drain = async (): Promise<void> => {
    const { drainMs } = config.service;
    const deadlineMs = now() + drainMs;
    metrics.service.isDraining = true;
    http.drain();
    await Promise.all([streams.drain(drainMs * DRAIN_SHARE), profiler?.stop(drainMs * DRAIN_SHARE)]);
    await http.release();
    await publisher.settled(Math.max(0, deadlineMs - now()));
  };
  return {
    port: http.port,
    metricsPort: endpoint.port,
    metricsText: endpoint.text,
    stop: async () => {
      await drain();
      await closers.unwind();
    },
  };
}

function createProfiler(
  { allowsProfiling, engine }: Config,
  engineKind: Engine['kind'],
  place: ProcessPlace,
): Profiler | undefined {
  if (!allowsProfiling) return undefined;
  return new Profiler({
    folder: engineKind === 'embedded' ? engine.dataDir : tmpdir(),
    name: `message-push${place.kind === 'alone' ? '' : `-${place.kind}${place.index}`}-pid${process.pid}`,
    now: Date.now,
  });
}
