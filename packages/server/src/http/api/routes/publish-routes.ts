/** The publish routes: their documentation, and the handler for publishes that the front does not take. */
import Type, { type TSchema } from 'typebox';
import type { PublishKind } from '../../../core/message.ts';
import {
  ackSchema,
  batchBodySchema,
  broadcastBodySchema,
  sendBodySchema,
} from '../../../publish/message-schema.ts';
import { PUBLISH_PATHS } from '../../publish-exchange.ts';
import type { Api, ApiOptions } from '../api-options.ts';
import { batchAnswerSchema, publishedSchema } from '../docs/answer-schemas.ts';
import { errorAnswers } from '../docs/error-answers.ts';
import { expectJson } from '../json-body.ts';

const EMPTY = Buffer.alloc(0);

const querySchema = Type.Object({ ack: Type.Optional(ackSchema) });

const ANSWERED =
  'Answers when the message is stored, and with `ack=replicated` when replicas have it too. 503 `not_replicated` means that it is stored, but too few replicas have confirmed it in time.';

const ROUTES: readonly {
  kind: PublishKind;
  summary: string;
  description: string;
  body: TSchema;
  answer: TSchema;
}[] = [
  {
    kind: 'send',
    summary: 'Send a message',
    description: `Sends a message to the streams that its target names. ${ANSWERED}`,
    body: sendBodySchema,
    answer: publishedSchema,
  },
  {
    kind: 'broadcast',
    summary: 'Send a message to every stream',
    description: ANSWERED,
    body: broadcastBodySchema,
    answer: publishedSchema,
  },
  {
    kind: 'batch',
    summary: 'Send many messages',
    description:
      'Each message is accepted or refused on its own, as `results` says; the status is 200 even if some were refused. `ack` applies to the messages that name none themselves.',
    body: batchBodySchema,
    answer: batchAnswerSchema,
  },
];

export function registerPublishRoutes(api: Api, { publishes }: Pick<ApiOptions, 'publishes'>): void {
  for (const { kind, summary, description, body, answer } of ROUTES) {
    api.route({
      method: 'POST',
      url: PUBLISH_PATHS[kind],
      schema: {
        tags: ['Publishing'],
        operationId: `${kind}Message${kind === 'batch' ? 's' : ''}`,
        summary,
        description,
        querystring: querySchema,
        body,
        response: { 200: answer, ...errorAnswers(400, 408, 409, 413, 415, 422, 429, 503) },
      },
      // The schemas above are documentation; the publish stage validates.
      validatorCompiler: () => () => true,
      bodyLimit: publishes.maxBodyBytes[kind],
      onRequest: async ({ principal, headers }) => {
        publishes.demand(kind, principal);
        expectJson(headers);
      },
      handler: async ({ body: bytes, query, principal, headers }, reply) => {
        const { ack } = query as { readonly ack?: string | readonly string[] };
        const json = await publishes.publish({
          kind,
          body: bytes instanceof Uint8Array ? bytes : EMPTY,
          // A repeated parameter is refused as a whole.
          ack: Array.isArray(ack) ? ack.join() : (ack as string | undefined),
          principal,
          traceparent: headers['traceparent']?.toString(),
          tracestate: headers['tracestate']?.toString(),
        });
        return reply.type('application/json; charset=utf-8').send(json);
      },
    });
  }
}
