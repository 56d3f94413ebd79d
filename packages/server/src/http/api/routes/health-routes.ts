/** Health, probes, and the description of the service at `/`. */
import type { Static } from 'typebox';
import { ENDPOINTS } from '../../../core/endpoints.ts';
import type { EngineHealth } from '../../../core/engine.ts';
import type { Api, ApiOptions } from '../api-options.ts';
import { healthSchema, probeSchema, rootSchema } from '../docs/answer-schemas.ts';

export function registerHealthRoutes(api: Api, options: ApiOptions): void {
  registerHealth(api, options);
  registerProbes(api, options);
  registerRoot(api, options);
}

function registerHealth(
  api: Api,
  { engine, directory, ownTotals, info, isReady, isDraining, now }: ApiOptions,
): void {
  api.get(
    '/sse/health',
    {
      schema: {
        tags: ['Health'],
        operationId: 'getHealth',
        summary: 'State of the service',
        description: '503 when unhealthy, 200 when healthy or degraded.',
        response: { 200: healthSchema, 503: healthSchema },
      },
    },
    async (_request, reply): Promise<Static<typeof healthSchema>> => {
      const health = engine.health();
      const totals = ownTotals();
      const status = overallStatus(health.status, isReady() && !isDraining());
      reply.code(status === 'unhealthy' ? 503 : 200);
      return {
        status,
        service: info.serviceName,
        version: info.version,
        timestamp: timeText(now()),
        connection_manager: {
          status: isDraining() ? 'draining' : 'healthy',
          active_connections: totals.connections,
          total_channels: totals.channels,
        },
        message_queue: {
          ...health.details,
          nodes: directory.liveNodes,
          status: health.status,
          type: engine.kind,
          reason: health.reason ?? null,
        },
        ...(info.worker && { worker: info.worker }),
      };
    },
  );
}

function registerProbes(api: Api, { engine, isReady, isDraining, now }: ApiOptions): void {
  api.get(
    '/sse/health/live',
    {
      schema: {
        tags: ['Health'],
        operationId: 'getLiveness',
        summary: 'Liveness probe',
        description: 'Answers as long as the process serves requests. Restart it when this fails.',
        response: { 200: probeSchema },
      },
    },
    async (): Promise<Static<typeof probeSchema>> => ({ status: 'alive', timestamp: timeText(now()) }),
  );

  api.get(
    '/sse/health/ready',
    {
      schema: {
        tags: ['Health'],
        operationId: 'getReadiness',
        summary: 'Readiness probe',
        description: 'Send new clients here only while this is 200.',
        response: { 200: probeSchema, 503: probeSchema },
      },
    },
    async (_request, reply): Promise<Static<typeof probeSchema>> => {
      if (isReady() && !isDraining()) return { status: 'ready', timestamp: timeText(now()) };
      const reason = isDraining() ? 'draining' : (engine.health().reason ?? 'starting');
      reply.code(503).header('retry-after', '1');
      return { status: 'not_ready', reason, timestamp: timeText(now()) };
    },
  );
}

function registerRoot(api: Api, { info, isReady, isDraining, enableDocs }: ApiOptions): void {
  api.get(
    '/',
    {
      schema: {
        tags: ['Health'],
        operationId: 'getRoot',
        summary: 'Name and version of the service',
        response: { 200: rootSchema },
      },
    },
    async () => ({
      service: info.serviceName,
      version: info.version,
      status: isDraining() ? 'draining' : isReady() ? 'running' : 'starting',
      environment: info.environment,
      port: info.port,
      docs_url: enableDocs ? '/docs' : null,
      description: 'Pushes messages from services to browsers over Server-Sent Events.',
      features: FEATURES,
      endpoints: ENDPOINTS,
    }),
  );
}

function timeText(ms: number): string {
  return new Date(ms).toISOString();
}

const FEATURES = [
  'streams by user, session, channel, service and task',
  'exact resume from the last event id',
  'durable history per channel',
  'idempotent publishing, single and in batches',
  'broadcast',
  'presence',
  'views of all nodes',
  'API keys, tokens and tickets',
];

function overallStatus(engine: EngineHealth['status'], isServing: boolean): EngineHealth['status'] {
  return engine === 'healthy' && !isServing ? 'degraded' : engine;
}
