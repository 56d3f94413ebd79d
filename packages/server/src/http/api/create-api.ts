/**
 * The HTTP API on Fastify: routes, their documentation, and the hooks that give every answer what `answers.ts` says.
 * It does not listen: the lanes hand requests to it.
 */
import type { IncomingMessage } from 'node:http';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import Fastify, { type FastifyReply, type FastifyRequest, LogController } from 'fastify';
import { RequestError } from '../../core/errors.ts';
import { type AnsweredRequest, requestIdOf } from '../answers.ts';
import { preflightHeaders } from '../cors.ts';
import { answerClientError } from '../lanes/client-error.ts';
import { createNodeServer } from '../lanes/node-server.ts';
import { parseQuery, pathOf } from '../request-url.ts';
import { DOCS_CSP } from '../security-headers.ts';
import type { Api, ApiOptions } from './api-options.ts';
import { addRouteAccess } from './docs/access-schemas.ts';
import { localUrl } from './docs/local-url.ts';
import { addDocumentSchemas, openApiDocument } from './docs/openapi.ts';
import { guard } from './guard.ts';
import { MethodTable } from './method-table.ts';
import { registerAccessRoutes } from './routes/access-routes.ts';
import { registerBackupRoutes } from './routes/backup-routes.ts';
import { registerChannelRoutes } from './routes/channel-routes.ts';
import { registerConnectionRoutes } from './routes/connection-routes.ts';
import { registerHealthRoutes } from './routes/health-routes.ts';
import { registerProfileRoutes } from './routes/profile-routes.ts';
import { registerPublishRoutes } from './routes/publish-routes.ts';
import { registerReferenceRoutes } from './routes/reference-routes.ts';
import { registerStreamRoutes } from './routes/stream-routes.ts';

/** Largest body of a route that sets no limit of its own. */
const DEFAULT_BODY_LIMIT = 16_384;
/** Room for the longest channel name with every byte percent-encoded. Anything longer is refused before validation. */
const MAX_PATH_PART_CHARS = 4_096;

export function createApi(options: ApiOptions): Api {
  const { answers, info, limits, logger } = options;
  const api: Api = Fastify({
    ...(logger === undefined ? { logger: false } : { loggerInstance: logger }),
    serverFactory: (handler) => createNodeServer(handler, answers, limits),
    bodyLimit: DEFAULT_BODY_LIMIT,
    // The line of a request is written by `Answers`: it has no query, which may hold credentials.
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    // A publish that arrives while the process drains is stored and answered; then its connection closes.
    return503OnClosing: false,
    requestIdHeader: false,
    genReqId: ({ headers }) => requestIdOf(headers['x-request-id']),
    routerOptions: {
      ignoreTrailingSlash: true,
      maxParamLength: MAX_PATH_PART_CHARS,
      querystringParser: parseQuery,
    },
    ajv: { customOptions: { allErrors: true, verbose: true, coerceTypes: true, removeAdditional: false } },
    frameworkErrors: (error, request, reply) => {
      setCommonHeaders(request, reply, options);
      sendError(error, request, reply, options);
      // [Fastify] No hook runs for a URL that the router cannot read.
      answered(request, reply, options);
    },
    clientErrorHandler: (error, socket) => answerClientError(error, socket, answers),
  });
  api.setSerializerCompiler(() => JSON.stringify);

  const methods = new MethodTable();
  api.addHook('onRoute', (route) => {
    methods.add(route.url, route.method);
    addRouteAccess(route, options.access.gate.isOpen);
  });
  api.decorateRequest('principal');
  addHooks(api, methods, options);

  // Bodies stay bytes: whoever reads them reports what is wrong with them.
  api.removeAllContentTypeParsers();
  api.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));

  if (options.enableDocs) addDocs(api, options);
  // Routes are in a plugin of their own, so that the hooks of the documentation are registered before them.
  api.register(async (routes: Api) => {
    registerStreamRoutes(routes, options);
    registerPublishRoutes(routes, options);
    registerConnectionRoutes(routes, options);
    registerChannelRoutes(routes, options);
    registerAccessRoutes(routes, options);
    if (options.profiler !== undefined) registerProfileRoutes(routes, options.profiler);
    registerBackupRoutes(routes, options);
    registerHealthRoutes(routes, options);
    if (options.enableDocs) registerReferenceRoutes(routes, localUrl(info));
  });
  return api;
}

function addDocs(api: Api, options: ApiOptions): void {
  const { info } = options;
  addDocumentSchemas(api);
  api.register(swagger, openApiDocument(info, options));
  api.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: DOCS_CSP,
    uiConfig: {
      layout: 'BaseLayout',
      docExpansion: 'list',
      tryItOutEnabled: true,
      defaultModelsExpandDepth: 0,
    },
    theme: { title: `${info.serviceName}: API` },
  });
}

function addHooks(api: Api, methods: MethodTable, options: ApiOptions): void {
  const { cors } = options;

  api.addHook('onRequest', async (request, reply) => {
    setCommonHeaders(request, reply, options);
    const { headers } = request;
    refuseUnlessOneHost(request.raw);
    if (request.method === 'OPTIONS') {
      const preflight = preflightHeaders(
        {
          origin: headers.origin,
          requestMethod: headers['access-control-request-method'],
          requestHeaders: headers['access-control-request-headers'],
        },
        cors,
      );
      if (preflight !== undefined) return reply.code(204).headers(preflight).send();
    }
    // Refused before the body is read.
    if (request.is404) return refuseUnknown(request, reply, methods);
    await guard(request, reply, { gate: options.access.gate, clientIp: options.clientIp });
    return undefined;
  });

  api.setNotFoundHandler((request, reply) => refuseUnknown(request, reply, methods));
  api.setErrorHandler((error, request, reply) => sendError(error, request, reply, options));

  api.addHook('onResponse', async (request, reply) => {
    // [Node] HTTP/2 calls this for a request that was given up before its answer, too.
    if (reply.raw.writableEnded) answered(request, reply, options);
  });
}

/** [spec] RFC 9112, 3.2: a request has exactly one Host. Node would use the first of several. */
function refuseUnlessOneHost({ httpVersion, httpVersionMajor, headers, rawHeaders }: IncomingMessage): void {
  if (httpVersion === '1.0') return;
  if (httpVersionMajor === 2) {
    // [spec] RFC 9113, 8.3.1: `:authority` replaces Host; if both are present they must be equal.
    const authority = (headers as Readonly<Record<string, unknown>>)[':authority'] ?? headers.host;
    if (authority !== undefined && authority === headers.host) return;
    throw new RequestError(
      'malformed_request',
      'a request must have an :authority, and no Host that differs from it',
    );
  }
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) if (rawHeaders[i]?.toLowerCase() === 'host') hosts++;
  if (hosts !== 1)
    throw new RequestError(
      'malformed_request',
      `a request must have exactly one Host header; this one has ${hosts}`,
    );
}

function refuseUnknown(request: FastifyRequest, reply: FastifyReply, methods: MethodTable): FastifyReply {
  const path = pathOf(request.url);
  const allowed = methods.methodsOf(path);
  if (allowed.length === 0) throw new RequestError('not_found', `there is nothing at ${shownPath(path)}`);
  const allow = [...allowed, 'OPTIONS'].join(', ');
  reply.header('allow', allow);
  if (request.method === 'OPTIONS') return reply.code(204).send();
  throw new RequestError(
    'method_not_allowed',
    `${request.method} is not allowed here; the allowed methods are ${allow}`,
  );
}

function setCommonHeaders(
  request: FastifyRequest,
  reply: FastifyReply,
  { answers, isDraining }: ApiOptions,
): void {
  reply.headers(answers.headers(request.id, request.headers.origin));
  // [spec] RFC 9113, 8.2.2: HTTP/2 has a frame for it instead.
  if (isDraining() && request.raw.httpVersionMajor === 1) reply.header('connection', 'close');
}

function answered(request: FastifyRequest, reply: FastifyReply, { answers }: ApiOptions): void {
  const counter = answers.counterOf(request.method, request.routeOptions.url ?? 'unknown');
  answers.answered(answeredRequest(request), counter, reply.statusCode, reply.elapsedTime);
}

function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply, options: ApiOptions): void {
  const { status, headers, body } = options.answers.failed(error, answeredRequest(request));
  reply.code(status).headers(headers).send(body);
}

const MAX_SHOWN_PATH = 200;

function shownPath(path: string): string {
  return path.length > MAX_SHOWN_PATH ? `${path.slice(0, MAX_SHOWN_PATH)}…` : path;
}

function answeredRequest({ id, method, url }: FastifyRequest): AnsweredRequest {
  return { requestId: id, method, path: pathOf(url) };
}
