/**
 * The application: the one place that names concrete classes and wires them, in the order in which a message passes.
 * Starting either succeeds as a whole or rejects with an error meant for the operator.
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
  /** Drains and closes; takes little longer than DRAIN_TIMEOUT. */
  stop(): Promise<void>;
}

export interface AppOptions {
  readonly config: Config;
  readonly place: ProcessPlace;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Called when the engine cannot go on; the process should end with a failure. */
  readonly onFatal: (message: string) => void;
}

/** The share of the drain window in which streams are ended; the rest is for requests in progress. */
const DRAIN_SHARE = 0.8;
/** Time to send the remaining spans at the end, so that an unreachable collector does not delay a stop. */
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

async function start(options: AppOptions, closers: Closers): Promise<App> {
  const parts = await createParts(options);
  await open(parts, closers);
  const { http, metricsEndpoint } = parts;
  return {
    port: http.port,
    metricsPort: metricsEndpoint.port,
    metricsText: metricsEndpoint.text,
    stop: async () => {
      await drain(options, parts);
      await closers.unwind();
    },
  };
}

type Parts = Awaited<ReturnType<typeof createParts>>;

/** Creates everything and opens nothing. */
async function createParts({ config, place, log, metrics, onFatal }: AppOptions) {
  const now = Date.now;
  const local = (): LocalDirectory => core.directory;
  const { engine, fleet } = createEngine({ config, log, metrics, local, onFatal });
  const tracer = await createTracer({ config, engineKind: engine.kind, log, counters: metrics.traces });
  const views = createViews({ config, fleet, local });
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
  const { directory } = views;
  const shared = { config, place, log, metrics, engine, local: core.directory, directory };
  const http = await createHttp({
    ...shared,
    backups: engine.kind === 'embedded' ? engine : undefined,
    publisher,
    streams: core.streams,
    access,
    profiler,
    now,
  });
  const metricsEndpoint = createMetricsEndpoint(shared);
  return { engine, tracer, views, access, core, publisher, profiler, http, metricsEndpoint };
}

/** Opens everything in the order of dependencies; `closers` closes in the reverse order. */
async function open(
  { engine, tracer, views, access, core, http, metricsEndpoint }: Parts,
  closers: Closers,
): Promise<void> {
  // Closed last, although opened late, so that the drain can be scraped.
  closers.add('the metrics', () => metricsEndpoint.close());
  closers.add('the tracer', () => tracer?.close(TRACE_FLUSH_MS));
  await engine.open(core.listener);
  closers.add('the engine', () => engine.close());
  closers.add('the views', () => views.close());
  await views.open();
  closers.add('access', () => access.close());
  await access.open();
  await metricsEndpoint.open();
  closers.add('HTTP', () => http.close());
  closers.add('the streams', () => core.stop());
  core.start();
  await http.start();
}

/** Ends the streams and waits for requests in progress. Afterwards everything is still open. */
async function drain(
  { config, metrics }: AppOptions,
  { http, core, profiler, publisher }: Parts,
): Promise<void> {
  const { drainMs } = config.service;
  const deadlineMs = Date.now() + drainMs;
  metrics.service.isDraining = true;
  http.drain();
  await Promise.all([core.streams.drain(drainMs * DRAIN_SHARE), profiler?.stop(drainMs * DRAIN_SHARE)]);
  await http.release();
  await publisher.settled(Math.max(0, deadlineMs - Date.now()));
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
