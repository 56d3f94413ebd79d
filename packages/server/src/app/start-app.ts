/**
 * The application: the one place that names concrete classes and wires them, in the order in which a message
 * passes. Starting either succeeds as a whole or rejects with a sentence for the operator.
 */
import {
  createServer,
  type Server as HttpServer,
  type IncomingMessage,
  type RequestListener,
} from 'node:http';
import type { Http2ServerResponse } from 'node:http2';
import { tmpdir } from 'node:os';
import type { RequestParts } from '../access/authorizer.ts';
import type { Config } from '../config/config.ts';
import { readTlsFiles } from '../config/tls-files.ts';
import type { Directory, LocalDirectory } from '../core/directory.ts';
import type { Engine } from '../core/engine.ts';
import { RequestError } from '../core/errors.ts';
import { createApi } from '../http/api/create-api.ts';
import { partsOf } from '../http/api/guard.ts';
import { isTrustedOrigin } from '../http/cors.ts';
import { errorResponse, rawErrorResponse } from '../http/error-response.ts';
import { Front } from '../http/lanes/front.ts';
import { createFrontPublish } from '../http/lanes/front-publish.ts';
import { TlsLane } from '../http/lanes/tls-lane.ts';
import { createProxyTrust } from '../http/proxy-trust.ts';
import { hstsHeaders } from '../http/security-headers.ts';
import { createStreamOpener } from '../http/stream/open-stream.ts';
import { streamSocketOf } from '../http/stream/response-head.ts';
import type { Log } from '../observe/log/log.ts';
import { STREAM_REFUSALS } from '../observe/metrics/counters.ts';
import type { Metrics } from '../observe/metrics/metrics.ts';
import { type MetricsServer, openMetricsServer } from '../observe/metrics/metrics-server.ts';
import { Profiler } from '../observe/profiler.ts';
import { type PublishAnswer, Publisher, type PublishKind } from '../publish/publisher.ts';
import { createStreamCore, type StreamCore } from '../sse/stream-core.ts';
import type { StreamsObserver } from '../sse/streams.ts';
import { listen } from '../workers/listen.ts';
import type { ProcessPlace } from '../workers/process-place.ts';
import { createAccess } from './create-access.ts';
import { createEngine } from './create-engine.ts';
import { createTracer } from './create-tracer.ts';
import { createViews } from './create-views.ts';

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

/** Above what proxies keep idle connections for (nginx: 60 s), so that it is never this end that closes first. */
const KEEP_ALIVE_MS = 75_000;
const HISTORY_PAGE_BYTES = 8 * 1024 * 1024;
/** Streams are told to go within this share of the drain window; the rest is for what is under way. */
const DRAIN_SHARE = 0.8;
/** For connections of HTTP/2 to go once their streams have ended. */
const CLOSING_MS = 1000;
/** For the spans that wait, at the end: a collector that is dead must not hold up a stop. */
const TRACE_FLUSH_MS = 2000;

export async function startApp({ config, place, log, metrics, onFatal }: AppOptions): Promise<App> {
  const now = Date.now;
  const startedAtMs = now();
  const local = (): LocalDirectory => core.directory;
  const { engine, fleet } = createEngine({ config, log, metrics, local, onFatal });
  const tracer = await createTracer({ config, engineKind: engine.kind, log, counters: metrics.traces });
  const views = createViews({ config, fleet, local });
  const cors = { origins: config.http.allowedOrigins, allowsCredentials: config.http.allowsCredentials };
  const transportHeaders = hstsHeaders(config.http.hstsSeconds);
  const access = await createAccess({
    config: config.access,
    log,
    now,
    isTrustedOrigin: (origin) => isTrustedOrigin(origin, cors),
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
  const publisher = new CountedPublisher(
    new Publisher({
      engine,
      audience: views.audience,
      serviceName: config.service.name,
      messageTtlMs: config.history.messageTtlMs,
      maxJsonDepth: config.publishing.maxJsonDepth,
      maxMessageBytes: config.publishing.maxMessageBytes,
      maxBatchBytes: config.publishing.maxBatchBytes,
      maxBatchSize: config.publishing.maxBatchMessages,
      ackLevel: config.publishing.ackLevel,
      ackLevels: engine.kind === 'redis' ? ['stored', 'replicated'] : ['stored'],
      now,
      tracer,
      observer: {
        onPublished: ({ message }, { isRepeat }) => {
          metrics.publish.results[isRepeat ? 'repeat' : 'stored']++;
          log.debug(
            { messageId: message.id, type: message.type, channels: message.channels },
            'message published',
          );
        },
        onFailed: (error) => {
          const code = error instanceof RequestError ? error.code : 'internal_error';
          metrics.publish.results.rejected++;
          metrics.publish.errors[code]++;
        },
      },
    }),
  );
  const openStream = createStreamOpener({
    streams: core.streams,
    request: {
      maxChannels: config.streams.maxChannels,
      defaultEventMode: config.streams.eventMode,
      defaultErrorEvent: config.streams.errorEvent,
    },
    cors,
    transportHeaders,
    access,
    serviceName: config.service.name,
    onRefused: (error, ip) => {
      const isFault = !(error instanceof RequestError);
      metrics.streams.errors[isFault ? 'internal_error' : error.code]++;
      if (isFault) log.error({ err: error, clientIp: ip }, 'a stream could not be opened');
      else log.info({ code: error.code, reason: error.message, clientIp: ip }, 'stream refused');
    },
    now,
  });
  const { clientIp, retriesElsewhere } = createProxyTrust(config.http.trustProxy);
  const profiler = config.allowsProfiling
    ? new Profiler({
        folder: engine.kind === 'embedded' ? config.engine.dataDir : tmpdir(),
        name: `message-push${place.kind === 'alone' ? '' : `-${place.kind}${place.index}`}-pid${process.pid}`,
        now,
      })
    : undefined;
  let isReady = false;

  const refusal = (error: RequestError): string =>
    rawErrorResponse(errorResponse(error, null, config.service.name));

  let httpServer: HttpServer | undefined;
  /** Fastify's, for the requests of all lanes. */
  let handle: RequestListener | undefined;
  const api = createApi({
    publisher,
    engine,
    backups: engine.kind === 'embedded' ? engine : undefined,
    directory: views.directory,
    ownTotals: () => core.directory.totals(),
    info: {
      serviceName: config.service.name,
      version: config.service.version,
      environment: config.service.environment,
      port: config.service.port,
      scheme: config.http.tls === undefined ? 'http' : 'https',
      worker: place.kind === 'alone' ? undefined : { index: place.index, pid: process.pid },
    },
    limits: {
      maxMessageBytes: config.publishing.maxMessageBytes,
      maxBatchBytes: config.publishing.maxBatchBytes,
      maxPageBytes: HISTORY_PAGE_BYTES,
      maxHeaderBytes: config.http.maxHeaderBytes,
      requestTimeoutMs: config.http.requestTimeoutMs,
    },
    cors,
    transportHeaders,
    access,
    clientIp: ({ socket, headers }) => clientIp(socket, headers['x-forwarded-for'] as string | undefined),
    enableDocs: config.service.servesDocs,
    isReady: () => isReady && engine.health().status !== 'unhealthy',
    isDraining: () => metrics.service.isDraining,
    streamHandler: (request, response) => {
      const { socket, url = '', headers } = request;
      // The socket is still owed to the answer of a request that was sent before this one.
      if (response.socket !== socket) {
        throw new RequestError('malformed_request', 'a stream cannot be pipelined behind another request');
      }
      const stream =
        response.req.httpVersionMajor === 2
          ? streamSocketOf(response as unknown as Http2ServerResponse)
          : socket;
      openStream(stream, {
        // [spec] RFC 9112, 3.2.2: a request target may name the whole URL.
        target: url.replace(/^https?:\/\/[^/?]*/i, ''),
        lastEventId: headers['last-event-id'] as string | undefined,
        origin: headers.origin,
        clientIp: clientIp(socket, headers['x-forwarded-for'] as string | undefined),
        isRetriedElsewhere: retriesElsewhere(socket, headers['x-retry-upstream'] as string | undefined),
        parts: (): RequestParts => partsOf(request),
      });
    },
    logger: log,
    serverFactory: (handler) => {
      handle = handler;
      httpServer = createServer(
        {
          maxHeaderSize: config.http.maxHeaderBytes,
          requestTimeout: config.http.requestTimeoutMs,
          headersTimeout: config.http.requestTimeoutMs,
          connectionsCheckingInterval: 1000,
          keepAliveTimeout: KEEP_ALIVE_MS,
          noDelay: true,
          requireHostHeader: false,
        },
        handler,
      );
      httpServer.on('checkExpectation', ({ socket }: IncomingMessage) => {
        socket.end(refusal(new RequestError('expectation_failed', 'only 100-continue can be expected')));
      });
      // A peer may close its side after its last request and still read the answer.
      return Object.assign(httpServer, { httpAllowHalfOpen: true });
    },
    profiler,
    observeRequest: (method, route, status, seconds) =>
      metrics.http.route(method, route).record(status, seconds),
    startedAtMs,
    now,
  });
  await api.ready();
  const publishRoutes = publishRouteCounters(metrics);
  const { tls: tlsPaths } = config.http;
  const tls =
    tlsPaths === undefined
      ? undefined
      : new TlsLane({
          paths: Object.values(tlsPaths).filter((path) => path !== undefined),
          readFiles: () => readTlsFiles(tlsPaths),
          handler: (request, response) => handle?.(request as never, response as never),
          refusal: (error) => errorResponse(error, null, config.service.name),
          maxHeaderBytes: config.http.maxHeaderBytes,
          requestTimeoutMs: config.http.requestTimeoutMs,
          keepAliveMs: KEEP_ALIVE_MS,
          maxOutboxBytes: config.streams.maxOutboxBytes,
          isDraining: () => metrics.service.isDraining,
          onCertificate: ({ expiresAtMs }) => {
            metrics.service.certificateExpiresAtMs = expiresAtMs;
          },
          log,
          now,
        });
  const front = new Front({
    createServer: tls?.createServer,
    httpServer: httpServer as unknown as HttpServer,
    openStream,
    ...createFrontPublish({
      publisher,
      gate: access.gate,
      clientIp,
      serviceName: config.service.name,
      isTracing: tracer !== undefined,
      onAnswered: (kind, status, seconds) => publishRoutes[kind].record(status, seconds),
      onFault: (error, requestId) => log.error({ err: error, requestId }, 'a publish failed'),
    }),
    refusal,
    clientIp,
    retriesElsewhere,
    maxBodyBytes: {
      send: config.publishing.maxMessageBytes,
      broadcast: config.publishing.maxMessageBytes,
      batch: config.publishing.maxBatchBytes,
    },
    maxHeaderBytes: config.http.maxHeaderBytes,
    requestTimeoutMs: config.http.requestTimeoutMs,
    keepAliveMs: KEEP_ALIVE_MS,
    now,
  });

  const metricsText = (): Promise<string> => {
    readGauges(metrics, engine, core.directory, views.directory);
    return metrics.text();
  };
  await engine.open(core.listener);
  let metricsServer: MetricsServer | undefined;
  try {
    await views.open();
    await access.open();
    if (config.metrics.isEnabled) {
      metricsServer = await openMetricsServer({
        metrics: { contentType: metrics.contentType, text: metricsText },
        host: config.metrics.host,
        port: config.metrics.port,
        onError: (error) => log.error({ err: error }, 'metrics could not be served'),
        // PM2 starts an instance's successor before it stops the instance.
        ...(place.kind === 'instance' && {
          onWaiting: (error: Error) =>
            log.warn(`${error.message}. It is tried again until it is free; while PM2 reloads that is soon`),
        }),
      });
    }
    const { host, port, listenBacklog: backlog } = config.service;
    await listen(front.server, { host, port, backlog }, place);
    front.server.on('error', (error) => log.error({ err: error }, 'a connection could not be accepted'));
  } catch (error) {
    await metricsServer?.close();
    access.close();
    await views.close();
    await engine.close();
    await tracer?.close(0);
    throw error;
  }
  // A server that does not listen itself does not look after its connections' deadlines unless it is told so.
  httpServer?.emit('listening');
  front.start();
  tls?.start();
  core.start();
  isReady = true;

  return {
    port: (front.server.address() as { port: number }).port,
    metricsPort: metricsServer?.port,
    metricsText,
    stop: async () => {
      metrics.service.isDraining = true;
      const deadlineMs = now() + config.service.drainMs;
      const drainMs = config.service.drainMs * DRAIN_SHARE;
      // PM2's other instances have the same port, and are better places for newcomers.
      front.drain({ keepsListening: place.kind !== 'instance' });
      await Promise.all([core.streams.drain(drainMs), profiler?.stop(drainMs)]);
      front.close();
      httpServer?.closeIdleConnections();
      await tls?.close(CLOSING_MS);
      await publisher.settled(Math.max(0, deadlineMs - now()));
      core.stop();
      await api.close();
      httpServer?.closeAllConnections();
      access.close();
      await views.close();
      await engine.close();
      await tracer?.close(TRACE_FLUSH_MS);
      await metricsServer?.close();
      metrics.close();
    },
  };
}

function streamsObserver(log: Log, metrics: Metrics): StreamsObserver {
  const { streams } = metrics;
  const refusals: ReadonlySet<string> = new Set(STREAM_REFUSALS);
  return {
    opened: ({ connectionId, userId, clientIp }, { channels, cursor }) => {
      streams.opened++;
      log.info({ connectionId, userId, clientIp, channels, resumes: cursor !== undefined }, 'stream opened');
    },
    closed: ({ connectionId, userId, connectedAtMs }, reason) => {
      streams.closed[reason]++;
      const seconds = Math.round((Date.now() - connectedAtMs) / 1000);
      log.info({ connectionId, userId, reason, seconds }, 'stream closed');
    },
    refused: (reason, { userId, clientIp }, cause) => {
      if (refusals.has(reason)) streams.refused[reason as keyof typeof streams.refused]++;
      log.warn({ reason, userId, clientIp, ...(cause !== undefined && { err: cause }) }, 'stream refused');
    },
    failed: ({ connectionId }, error) => log.error({ connectionId, err: error }, 'a stream could not be fed'),
  };
}

/** What is known where it is kept, and read only when somebody asks. */
function readGauges(
  { engine: counters, service, streams }: Metrics,
  engine: Engine,
  own: LocalDirectory,
  all: Directory,
): void {
  counters.details = engine.health().details;
  service.liveNodes = all.liveNodes;
  const { connections, liveConnections } = own.totals();
  streams.live = liveConnections;
  streams.catchingUp = connections - liveConnections;
}

function publishRouteCounters(metrics: Metrics) {
  const route = (kind: PublishKind) => metrics.http.route('POST', `/sse/api/v1/messages/${kind}`);
  return { send: route('send'), broadcast: route('broadcast'), batch: route('batch') };
}

/** Knows how many publishes are under way, so that stopping can wait for their answers. */
class CountedPublisher implements Pick<Publisher, 'handle'> {
  #underWay = 0;
  #onSettled: (() => void) | undefined;
  readonly #publisher: Publisher;

  constructor(publisher: Publisher) {
    this.#publisher = publisher;
  }

  async handle(...asked: Parameters<Publisher['handle']>): Promise<PublishAnswer> {
    this.#underWay++;
    try {
      return await this.#publisher.handle(...asked);
    } finally {
      if (--this.#underWay === 0) this.#onSettled?.();
    }
  }

  settled(timeoutMs: number): Promise<void> {
    if (this.#underWay === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onSettled = resolve;
      setTimeout(resolve, timeoutMs);
    });
  }
}
