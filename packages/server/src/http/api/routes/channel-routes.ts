/** Lists channels and reads their history. */
import { isTransientChannel } from '@message-push/protocol';
import Type, { type TSchema } from 'typebox';
import { demandRead, demandReadAllOf } from '../../../access/decisions.ts';
import { validationFailed } from '../../../core/errors.ts';
import type { Api, ApiOptions } from '../api-options.ts';
import { mergeChannels } from '../channel-list.ts';
import { channelListSchema, historySchema } from '../docs/answer-schemas.ts';
import { errorAnswers } from '../docs/error-answers.ts';
import { channelOfPath, channelParams, checkName, limitSchema, scopeSchema } from '../docs/url-schemas.ts';
import { historyJson, readHistoryPage } from '../history-page.ts';

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1_000;
const offset = (description: string) =>
  Type.Optional(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description }));

/** Widened, because the answer is written as bytes. */
const historyAnswers: Record<number, TSchema> = { 200: historySchema, ...errorAnswers(422, 503) };

type Routes = Pick<ApiOptions, 'engine' | 'directory' | 'limits'>;

export function registerChannelRoutes(api: Api, options: Routes): void {
  registerList(api, options);
  registerHistory(api, options);
}

function registerList(api: Api, { engine, directory }: Routes): void {
  api.get(
    '/sse/api/v1/channels',
    {
      schema: {
        tags: ['Channels'],
        operationId: 'listChannels',
        summary: 'List channels',
        description: 'Lists the channels with history and those with open streams, sorted by name.',
        querystring: Type.Object({
          prefix: Type.String({
            default: '',
            description: 'Only names with this prefix.',
            examples: ['user:'],
          }),
          limit: limitSchema(DEFAULT_LIMIT, MAX_LIMIT),
          after: Type.String({ default: '', description: '`next` of the previous page.' }),
          scope: scopeSchema,
        }),
        response: { 200: channelListSchema, ...errorAnswers(422, 503) },
      },
    },
    async ({ query: { prefix, limit, after, scope }, principal }) => {
      demandReadAllOf(principal, prefix);
      checkName('query.prefix', prefix);
      checkName('query.after', after);
      const query = { prefix, after, limit: limit + 1 };
      const [page, joined] = await Promise.all([
        engine.channels(query),
        directory.joinedChannels(query, scope),
      ]);
      const { channels, hasMore } = mergeChannels(page.channels, joined.view, after, limit);
      return {
        success: true,
        channels: channels.map(({ channel, connectionCount, summary }) => ({
          channel,
          connection_count: connectionCount,
          messages: summary?.messages ?? 0,
          bytes: summary?.bytes ?? 0,
          epoch: summary?.epoch ?? null,
          last_offset: summary?.offset ?? 0,
          last_published_at: summary?.lastPublishedMs
            ? new Date(summary.lastPublishedMs).toISOString()
            : null,
        })),
        has_more: hasMore,
        next: hasMore ? (channels.at(-1)?.channel ?? null) : null,
        ...(scope === 'cluster' && { nodes: joined.nodes }),
      };
    },
  );
}

function registerHistory(api: Api, { engine, limits }: Routes): void {
  api.get(
    '/sse/api/v1/channels/:channel/history',
    {
      schema: {
        tags: ['Channels'],
        operationId: 'getChannelHistory',
        summary: "Read a channel's history",
        description: 'A page is bounded in messages and in bytes: follow `next` while `has_more` is true.',
        params: channelParams,
        querystring: Type.Object({
          from: offset('First offset, inclusive. Default: the oldest.'),
          to: offset('Last offset, inclusive. Default: the newest.'),
          limit: limitSchema(DEFAULT_LIMIT, MAX_LIMIT),
          reverse: Type.Boolean({ default: false, description: 'Newest first.' }),
        }),
        response: historyAnswers,
      },
    },
    async ({ params, query, principal }, reply) => {
      const channel = channelOfPath(params.channel);
      demandRead(principal, channel);
      if (isTransientChannel(channel)) {
        const problem = 'must not be a connection channel: those have no history';
        throw validationFailed([{ field: 'path.channel', problem, value: channel }]);
      }
      const { from = 1, to = Number.MAX_SAFE_INTEGER, limit, reverse } = query;
      if (from > to) {
        throw validationFailed([{ field: 'query.from', problem: 'must not be above query.to', value: from }]);
      }
      const answer = await readHistoryPage(
        engine,
        { channel, from, to, limit, reverse },
        limits.maxPageBytes,
      );
      return reply.type('application/json; charset=utf-8').send(historyJson(channel, answer));
    },
  );
}
