/** Wires HTTP as the configuration asks for it: the front, the API behind it, and TLS before it. */
import type { Config } from '../config/config.ts';
import { readTlsFiles } from '../config/tls-files.ts';
import type { Directory, LocalDirectory } from '../core/directory.ts';
import { RequestError } from '../core/errors.ts';
import { Answers } from '../http/answers.ts';
import type { Api, ApiOptions } from '../http/api/api-options.ts';
import { createApi } from '../http/api/create-api.ts';
import type { CorsRules } from '../http/cors.ts';
import { rawErrorResponse } from '../http/error-response.ts';
import { Front } from '../http/lanes/front.ts';
import { FrontPublish } from '../http/lanes/front-publish.ts';
import { TlsLane } from '../http/lanes/tls-lane.ts';
import { createProxyTrust, type ProxyTrust } from '../http/proxy-trust.ts';
import { PublishExchange } from '../http/publish-exchange.ts';
import { hstsHeaders } from '../http/security-headers.ts';
import { createStreamOpener, type OpenStream } from '../http/stream/open-stream.ts';
import { createStreamHandler } from '../http/stream/stream-handler.ts';
import type { Log } from '../observe/log/log.ts';
import type { Metrics } from '../observe/metrics/metrics.ts';
import type { Profiler } from '../observe/profiler.ts';
import type { Publisher } from '../publish/publisher.ts';
import type { Streams } from '../sse/streams.ts';
import { listen } from '../workers/listen.ts';
import type { ProcessPlace } from '../workers/process-place.ts';
import type { Access } from './create-access.ts';

export interface HttpParts {
  readonly config: Config;
  readonly place: ProcessPlace;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly engine: ApiOptions['engine'];
  readonly backups: ApiOptions['backups'];
  readonly publisher: Pick<Publisher, 'handle'>;
  readonly streams: Streams;
  readonly local: Pick<LocalDirectory, 'totals'>;
  readonly directory: Directory;
  readonly access: Access;
  readonly profiler: Pick<Profiler, 'begin'> | undefined;
  readonly now: () => number;
}

export interface Http {
  /** The port, once the server has started. */
  readonly port: number;
  /** Listens and serves. Rejects with an error meant for the operator. */
  start(): Promise<void>;
  /** Answers every publish as the last one of its connection from now on. */
  drain(): void;
  /** Accepts no more connections and closes those without a request in progress. Call it when the streams have ended. */
  release(): Promise<void>;
  /** Closes the connections that are left. */
  close(): Promise<void>;
}

/** Longer than proxies keep idle connections (nginx: 60 s), so that this end never closes one first. */
const KEEP_ALIVE_MS = 75_000;
const HISTORY_PAGE_BYTES = 8 * 1024 * 1024;
/** Time for HTTP/2 connections to close once their streams have ended. */
const CLOSING_MS = 1000;

/** What all lanes share. */
interface Shared {
  readonly answers: Answers;
  readonly publishes: PublishExchange;
  readonly trust: ProxyTrust;
  readonly openStream: OpenStream;
  readonly limits: {
    readonly maxHeaderBytes: number;
    readonly requestTimeoutMs: number;
    readonly keepAliveMs: number;
  };
}

export async function createHttp(parts: HttpParts): Promise<Http> {
  const { config, place, log } = parts;
  const shared = createShared(parts);
  let isServing = false;
  const api = createApiOf(parts, shared, () => isServing);
  await api.ready();
  const tls = createTlsLane(parts, shared, api);
  const front = createFront(parts, shared, api, tls);
  return {
    get port() {
      return (front.server.address() as { port: number }).port;
    },
    start: async () => {
      const { host, port, listenBacklog: backlog } = config.service;
      await listen(front.server, { host, port, backlog }, place);
      front.server.on('error', (error) => log.error({ err: error }, 'a connection could not be accepted'));
      // [Node] A server that does not listen itself watches its timeouts only after this event.
      api.server.emit('listening');
      front.start();
      tls?.start();
      isServing = true;
    },
    // Under PM2 other instances listen on the same port, and new connections should go to them.
    drain: () => front.drain({ keepsListening: place.kind !== 'instance' }),
    release: async () => {
      front.close();
      api.server.closeIdleConnections();
      await tls?.close(CLOSING_MS);
    },
    close: async () => {
      await api.close();
      api.server.closeAllConnections();
    },
  };
}

function createShared({ config, log, metrics, publisher, streams, access, now }: HttpParts): Shared {
  const { http, publishing, service } = config;
  const cors = corsRules(config);
  const transportHeaders = hstsHeaders(http.hstsSeconds);
  const answers = new Answers({
    serviceName: service.name,
    cors,
    transportHeaders,
    log,
    counterOf: (method, route) => metrics.http.route(method, route),
  });
  const { maxMessageBytes, maxBatchBytes } = publishing;
  const openStream = createStreamOpener({
    streams,
    request: {
      maxChannels: config.streams.maxChannels,
      defaultEventMode: config.streams.eventMode,
      defaultErrorEvent: config.streams.errorEvent,
    },
    cors,
    transportHeaders,
    access,
    answers,
    onRefused: (error, { requestId, clientIp }) => {
      const isFault = !(error instanceof RequestError);
      metrics.streams.errors[isFault ? 'internal_error' : error.code]++;
      if (isFault) log.error({ requestId, err: error, clientIp }, 'a stream could not be opened');
      else log.info({ requestId, code: error.code, reason: error.message, clientIp }, 'stream refused');
    },
    now,
  });
  return {
    answers,
    publishes: new PublishExchange({ publisher, maxMessageBytes, maxBatchBytes }),
    trust: createProxyTrust(http.trustProxy),
    openStream,
    limits: {
      maxHeaderBytes: http.maxHeaderBytes,
      requestTimeoutMs: http.requestTimeoutMs,
      keepAliveMs: KEEP_ALIVE_MS,
    },
  };
}

export function corsRules({ http }: Config): CorsRules {
  return { origins: http.allowedOrigins, allowsCredentials: http.allowsCredentials };
}

function createApiOf(parts: HttpParts, shared: Shared, isServing: () => boolean): Api {
  const { config, place, log, metrics, engine, local, now } = parts;
  const { answers, publishes, trust, openStream, limits } = shared;
  return createApi({
    answers,
    publishes,
    engine,
    backups: parts.backups,
    directory: parts.directory,
    ownTotals: () => local.totals(),
    info: {
      serviceName: config.service.name,
      version: config.service.version,
      environment: config.service.environment,
      port: config.service.port,
      scheme: config.http.tls === undefined ? 'http' : 'https',
      worker: place.kind === 'alone' ? undefined : { index: place.index, pid: process.pid },
    },
    limits: { ...limits, maxPageBytes: HISTORY_PAGE_BYTES },
    cors: corsRules(config),
    access: parts.access,
    clientIp: ({ socket, headers }) =>
      trust.clientIp(socket, headers['x-forwarded-for'] as string | undefined),
    enableDocs: config.service.servesDocs,
    isReady: () => isServing() && engine.health().status !== 'unhealthy',
    isDraining: () => metrics.service.isDraining,
    streamHandler: createStreamHandler(openStream, trust),
    logger: log,
    profiler: parts.profiler,
    startedAtMs: now(),
    now,
  });
}

function createTlsLane(parts: HttpParts, { answers, limits }: Shared, api: Api): TlsLane | undefined {
  const { config, log, metrics, now } = parts;
  const { tls: paths } = config.http;
  if (paths === undefined) return undefined;
  return new TlsLane({
    ...limits,
    paths: Object.values(paths).filter((path) => path !== undefined),
    readIdentity: () => readTlsFiles(paths),
    // Fastify's types know HTTP/1.1 only; it serves HTTP/2 through Node's compatibility API.
    handler: (request, response) => api.routing(request as never, response as never),
    answers,
    plainRefusal: () =>
      rawErrorResponse(
        answers
          .withoutTransport()
          .refusal(new RequestError('malformed_request', 'this port speaks HTTPS only')),
      ),
    maxOutboxBytes: config.streams.maxOutboxBytes,
    isDraining: () => metrics.service.isDraining,
    onCertificate: ({ expiresAtMs }) => {
      metrics.service.certificateExpiresAtMs = expiresAtMs;
    },
    log,
    now,
  });
}

function createFront(parts: HttpParts, shared: Shared, api: Api, tls: TlsLane | undefined): Front {
  const { answers, publishes, trust, openStream, limits } = shared;
  return new Front({
    ...limits,
    ...trust,
    createServer: tls?.createServer,
    httpServer: api.server,
    openStream,
    publishes: new FrontPublish({
      exchange: publishes,
      answers,
      gate: parts.access.gate,
      clientIp: trust.clientIp,
    }),
    answers,
    now: parts.now,
  });
}
