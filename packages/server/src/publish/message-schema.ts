/**
 * What a publisher may send, as JSON Schema: the one source of the validators, the types and the API documentation.
 * `read-message.ts` and `json-problems.ts` check what JSON Schema cannot express (bytes of a channel name, control
 * characters, nesting).
 */
import { MAX_CHANNEL_NAME_BYTES, MESSAGE_TYPES, PRIORITIES, TARGET_PREFIXES } from '@message-push/protocol';
import Type, { type Static } from 'typebox';
import { ACK_LEVELS } from '../core/message.ts';

export const MAX_TTL_SECONDS = 30 * 86_400;
export const MAX_ID_CHARS = 128;
export const MAX_EXCLUDED_CONNECTIONS = 1_000;

const typeSchema = Type.Enum([...MESSAGE_TYPES], {
  type: 'string',
  description: 'The name of the event that subscribers receive.',
});

const prioritySchema = Type.Enum([...PRIORITIES], {
  type: 'string',
  default: 'normal',
  description: 'Passed on to subscribers.',
});

const ttlSchema = Type.Integer({
  minimum: 0,
  maximum: MAX_TTL_SECONDS,
  description:
    'Seconds for which history keeps the message; 0 keeps it until it is trimmed. Default: `MESSAGE_TTL`. A stream that resumes later gets no gap for a message whose own ttl has expired.',
});

const serviceSchema = Type.String({
  minLength: 1,
  maxLength: 128,
  description: 'The service that publishes. No control characters.',
});

const sourceSchema = Type.String({
  minLength: 1,
  maxLength: 128,
  description: 'The part of the service that publishes. Default: the name of the message push service.',
});

const idSchema = Type.String({
  minLength: 1,
  maxLength: MAX_ID_CHARS,
  description:
    'Makes the publish repeatable: the same id with the same body is stored once and answered with the first result; the same id with another body is refused with 409. By default the service makes an id.',
});

const dataSchema = Type.Object(
  {},
  {
    additionalProperties: true,
    description: 'The content of the message: any JSON object. Numbers arrive digit for digit.',
  },
);

function targetField(field: keyof typeof TARGET_PREFIXES): ReturnType<typeof Type.String> {
  return Type.String({
    minLength: 1,
    maxLength: MAX_CHANNEL_NAME_BYTES,
    description: `Reaches the streams on channel \`${TARGET_PREFIXES[field]}:…\`, a name of at most ${MAX_CHANNEL_NAME_BYTES} bytes without control characters.`,
  });
}

export const targetSchema = Type.Object(
  {
    user_id: Type.Optional(targetField('user_id')),
    session_id: Type.Optional(targetField('session_id')),
    connection_id: Type.Optional(targetField('connection_id')),
    channel: Type.Optional(targetField('channel')),
    service: Type.Optional(targetField('service')),
    kb_id: Type.Optional(targetField('kb_id')),
    task_id: Type.Optional(targetField('task_id')),
    agent_id: Type.Optional(targetField('agent_id')),
  },
  {
    additionalProperties: false,
    minProperties: 1,
    description: 'Whom the message reaches. A stream that several of the fields name gets it once.',
  },
);

/** Used in a message and in the query of a request. */
export const ackSchema = Type.Enum([...ACK_LEVELS], {
  type: 'string',
  description:
    'How durable the message must be before the answer: `stored`, or `replicated` to `ACK_REPLICAS` Redis replicas as well, which needs `MESSAGE_QUEUE_TYPE=redis`. Default: `ACK_LEVEL`.',
});

const metadataFieldSchema = Type.String({ maxLength: 512 });

export const metadataSchema = Type.Object(
  {
    priority: Type.Optional(prioritySchema),
    ttl: Type.Optional(ttlSchema),
    ack: Type.Optional(ackSchema),
    correlation_id: Type.Optional(metadataFieldSchema),
    reply_to: Type.Optional(metadataFieldSchema),
    trace_id: Type.Optional(metadataFieldSchema),
    span_id: Type.Optional(metadataFieldSchema),
    service_version: Type.Optional(metadataFieldSchema),
  },
  {
    additionalProperties: true,
    description:
      'Passed on to subscribers, including further fields such as `traceparent` and `tracestate` of the trace that the message belongs to. Top-level `priority` and `ttl` take precedence over these; `ack` takes precedence over that of the query.',
  },
);

const senderProperties = {
  type: typeSchema,
  service: serviceSchema,
  source: Type.Optional(sourceSchema),
};

const contentProperties = {
  data: dataSchema,
  priority: Type.Optional(prioritySchema),
  ttl: Type.Optional(ttlSchema),
  id: Type.Optional(idSchema),
  metadata: Type.Optional(metadataSchema),
};

const BODY_NOTE = 'null counts as absent; unknown fields at this level are ignored.';

export const sendBodySchema = Type.Object(
  { ...senderProperties, target: targetSchema, ...contentProperties },
  {
    description: `A message for the streams that \`target\` names. ${BODY_NOTE}`,
    examples: [
      {
        type: 'progress',
        service: 'knowledge-service',
        source: 'document_processing',
        target: { user_id: '123', task_id: 'task_456' },
        data: { task_id: 'task_456', progress: 50, stage: 'processing', message: '处理进度: 50%' },
      },
    ],
  },
);

export const broadcastBodySchema = Type.Object(
  {
    ...senderProperties,
    ...contentProperties,
    exclude_connections: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 128 }), {
        maxItems: MAX_EXCLUDED_CONNECTIONS,
        description: 'Ids of connections that do not get the message.',
      }),
    ),
  },
  {
    description: `A message for every open stream. ${BODY_NOTE}`,
    examples: [
      {
        type: 'info',
        service: 'operations',
        data: { message: 'Maintenance begins in ten minutes.' },
      },
    ],
  },
);

export const batchBodySchema = Type.Array(sendBodySchema, {
  minItems: 1,
  description: 'Messages as for `send`, stored in this order. Each is accepted or refused on its own.',
  examples: [
    [
      {
        type: 'progress',
        service: 'knowledge-service',
        target: { user_id: '123' },
        data: { progress: 60 },
      },
      {
        type: 'success',
        service: 'knowledge-service',
        target: { user_id: '123' },
        data: { progress: 100 },
      },
    ],
  ],
});

export type SendBody = Static<typeof sendBodySchema>;
export type BroadcastBody = Static<typeof broadcastBodySchema>;
export type Target = Static<typeof targetSchema>;
