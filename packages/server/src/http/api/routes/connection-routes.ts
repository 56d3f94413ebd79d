/** Lists open streams and ends them. */
import Type, { type Static } from 'typebox';
import { demandManage, demandRead, demandReadAllOf } from '../../../access/decisions.ts';
import type {
  ConnectionView,
  Gathered,
  NodeTally,
  StreamTotals,
  ViewScope,
} from '../../../core/directory.ts';
import { RequestError } from '../../../core/errors.ts';
import type { Api, ApiOptions } from '../api-options.ts';
import {
  channelConnectionsSchema,
  closedSchema,
  type connectionSchema,
  connectionsSchema,
  presenceSchema,
  statsSchema,
} from '../docs/answer-schemas.ts';
import { errorAnswers } from '../docs/error-answers.ts';
import { channelOfPath, channelParams, checkName, limitSchema, scopeSchema } from '../docs/url-schemas.ts';

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1_000;
const limit = limitSchema(DEFAULT_LIMIT, MAX_LIMIT);

type Routes = Pick<ApiOptions, 'directory' | 'now' | 'startedAtMs'>;

export function registerConnectionRoutes(api: Api, options: Routes): void {
  registerList(api, options);
  registerStats(api, options);
  registerClosing(api, options);
  registerChannelList(api, options);
  registerPresence(api, options);
}

function registerList(api: Api, { directory }: Routes): void {
  api.get(
    '/sse/api/v1/connections',
    {
      schema: {
        tags: ['Connections'],
        operationId: 'listConnections',
        summary: 'List open streams',
        querystring: Type.Object({
          user_id: Type.Optional(Type.String({ description: 'Only streams of this user.' })),
          limit,
          scope: scopeSchema,
        }),
        response: { 200: connectionsSchema, ...errorAnswers(422) },
      },
    },
    async ({ query, principal }) => {
      demandReadAllOf(principal);
      checkName('query.user_id', query.user_id);
      const { scope } = query;
      const found = await directory.connections({ userId: query.user_id, limit: query.limit }, scope);
      return {
        success: true,
        total_connections: found.view.total,
        connections: found.view.connections.map(connectionJson),
        ...nodesJson(found, scope),
      };
    },
  );
}

function registerStats(api: Api, { directory, now, startedAtMs }: Routes): void {
  api.get(
    '/sse/api/v1/connections/stats',
    {
      schema: {
        tags: ['Connections'],
        operationId: 'getConnectionStats',
        summary: 'Totals of the open streams',
        querystring: Type.Object({ scope: scopeSchema }),
        response: { 200: statsSchema, ...errorAnswers(422) },
      },
    },
    async ({ query: { scope }, principal }) => {
      demandReadAllOf(principal);
      const found = await directory.totals(scope);
      const uptimeSeconds = Math.max(0, now() - startedAtMs) / 1_000;
      return {
        success: true,
        stats: statsJson(found.view, uptimeSeconds),
        ...nodesJson(found, scope),
        ...completenessJson(found, scope),
      };
    },
  );
}

function registerClosing(api: Api, { directory }: Routes): void {
  api.delete(
    '/sse/api/v1/connections/:connection_id',
    {
      schema: {
        tags: ['Connections'],
        operationId: 'closeConnection',
        summary: 'End a stream',
        description: 'The stream gets `event: end` with reason `kicked`.',
        params: Type.Object({ connection_id: Type.String() }),
        querystring: Type.Object({ scope: scopeSchema }),
        response: { 200: closedSchema, ...errorAnswers(404, 422, 503) },
      },
    },
    async ({ params, query, principal }) => {
      const { connection_id: connectionId } = params;
      demandManage(principal, `connection:${connectionId}`);
      checkName('path.connection_id', connectionId);
      if (!(await directory.kick(connectionId, query.scope))) {
        throw new RequestError('connection_not_found', `there is no connection "${connectionId}"`);
      }
      return {
        success: true,
        message: `connection "${connectionId}" was closed`,
        connection_id: connectionId,
      };
    },
  );
}

function registerChannelList(api: Api, { directory }: Routes): void {
  api.get(
    '/sse/api/v1/channels/:channel/connections',
    {
      schema: {
        tags: ['Channels'],
        operationId: 'listChannelConnections',
        summary: 'Streams on a channel',
        params: channelParams,
        querystring: Type.Object({ limit, scope: scopeSchema }),
        response: { 200: channelConnectionsSchema, ...errorAnswers(422) },
      },
    },
    async ({ params, query, principal }) => {
      const channel = channelOfPath(params.channel);
      demandRead(principal, channel);
      const { scope } = query;
      const found = await directory.connections({ channel, limit: query.limit }, scope);
      return {
        success: true,
        channel,
        connection_count: found.view.total,
        connections: found.view.connections.map(connectionJson),
        ...nodesJson(found, scope),
      };
    },
  );
}

function registerPresence(api: Api, { directory }: Routes): void {
  api.get(
    '/sse/api/v1/channels/:channel/presence',
    {
      schema: {
        tags: ['Channels'],
        operationId: 'getChannelPresence',
        summary: 'Users on a channel',
        params: channelParams,
        querystring: Type.Object({ scope: scopeSchema }),
        response: { 200: presenceSchema, ...errorAnswers(422) },
      },
    },
    async ({ params, query: { scope }, principal }) => {
      const channel = channelOfPath(params.channel);
      demandRead(principal, channel);
      const found = await directory.presence(channel, scope);
      const entries = found.view;
      return {
        success: true,
        channel,
        user_count: entries.filter(({ userId }) => userId !== undefined).length,
        connection_count: entries.reduce((sum, entry) => sum + entry.connections, 0),
        users: entries.map(({ userId, connections, sinceMs }) => ({
          user_id: userId ?? null,
          connections,
          since: new Date(sinceMs).toISOString(),
        })),
        ...nodesJson(found, scope),
        ...completenessJson(found, scope),
      };
    },
  );
}

function statsJson(totals: StreamTotals, uptimeSeconds: number): Static<typeof statsSchema>['stats'] {
  return {
    total_connections: totals.connections,
    active_connections: totals.liveConnections,
    messages_sent: totals.messagesSent,
    messages_failed: totals.messagesFailed,
    connections_created: totals.connectionsCreated,
    connections_closed: totals.connectionsClosed,
    total_channels: totals.channels,
    connections_by_user: { ...totals.connectionsByUser },
    uptime_seconds: uptimeSeconds,
    average_queue_size: totals.averageQueueSize,
  };
}

function nodesJson({ nodes }: Gathered<unknown>, scope: ViewScope): { nodes?: NodeTally } {
  return scope === 'cluster' ? { nodes } : {};
}

function completenessJson({ nodes, isCut }: Gathered<unknown>, scope: ViewScope): { complete?: boolean } {
  return scope === 'cluster' ? { complete: !isCut && nodes.answered === nodes.known } : {};
}

function connectionJson(view: ConnectionView): Static<typeof connectionSchema> {
  return {
    connection_id: view.connectionId,
    user_id: view.userId ?? null,
    session_id: view.sessionId ?? null,
    channels: [...view.channels],
    connected_at: new Date(view.connectedAtMs).toISOString(),
    last_heartbeat: new Date(view.lastHeartbeatMs).toISOString(),
    client_ip: view.clientIp,
    queue_size: view.queueSize,
    unsent_bytes: view.unsentBytes,
    state: view.state,
  };
}
