/** POST /sse/api/v1/messages/…: hands the bytes of a body to the publish stage. */
import Type, { type TSchema } from 'typebox';
import { demandPublish, demandPublishOf } from '../../../access/decisions.ts';
import {
  ackSchema,
  batchBodySchema,
  broadcastBodySchema,
  sendBodySchema,
} from '../../../publish/message-schema.ts';
import type { PublishKind } from '../../../publish/publisher.ts';
import { contentTypeError } from '../../content-type.ts';
import type { Api, ApiOptions } from '../api-options.ts';
import { batchAnswerSchema, publishedSchema } from '../docs/answer-schemas.ts';
import { errorAnswers } from '../docs/error-answers.ts';

const EMPTY = Buffer.alloc(0);

const querySchema = Type.Object({ ack: Type.Optional(ackSchema) });

const ANSWERED =
  'Answered once the message is stored, and with `ack=replicated` once replicas have it too; 503 `not_replicated` says that it is stored, but too few of them confirmed it in time.';

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
    description: `To the streams that its target names. ${ANSWERED}`,
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
      'Each is accepted or refused on its own, and `results` says which; the status is 200 also when some were refused. `ack` is for those that name none themselves.',
    body: batchBodySchema,
    answer: batchAnswerSchema,
  },
];

export function registerPublishRoutes(api: Api, options: ApiOptions): void {
  const { publisher, limits } = options;
  for (const { kind, summary, description, body, answer } of ROUTES) {
    api.route({
      method: 'POST',
      url: `/sse/api/v1/messages/${kind}`,
      schema: {
        tags: ['Publishing'],
        operationId: `${kind}Message${kind === 'batch' ? 's' : ''}`,
        summary,
        description,
        querystring: querySchema,
        body,
        response: { 200: answer, ...errorAnswers(400, 408, 409, 413, 415, 422, 429, 503) },
      },
      // The schemas above are documentation: the publish stage validates, in words of its own.
      validatorCompiler: () => () => true,
      bodyLimit: kind === 'batch' ? limits.maxBatchBytes : limits.maxMessageBytes,
      onRequest: async (request) => {
        demandPublishOf(request.principal, kind);
        const error = contentTypeError(request.headers);
        if (error !== undefined) throw error;
      },
      handler: async (request, reply) => {
        const bytes = request.body instanceof Uint8Array ? request.body : EMPTY;
        const { ack } = request.query as { readonly ack?: string | readonly string[] };
        // A repeated one is no level, whatever its parts are.
        const queryAck = Array.isArray(ack) ? ack.join() : (ack as string | undefined);
        const { traceparent, tracestate } = request.headers;
        const { status, json } = await publisher.handle(
          kind,
          bytes,
          queryAck,
          (channels) => demandPublish(request.principal, channels),
          typeof traceparent === 'string' ? { traceparent, tracestate: tracestate?.toString() } : undefined,
        );
        return reply.code(status).type('application/json; charset=utf-8').send(json);
      },
    });
  }
}
