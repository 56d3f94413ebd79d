/**
 * The answers of the API, for its documentation. Routes write their answers themselves; tests compare them with these
 * schemas.
 */

import Type, { type TSchema } from 'typebox';
import { PUBLISH_PATHS } from '../../../core/endpoints.ts';
import { ERROR_KINDS, type ErrorCode } from '../../../core/errors.ts';
import { ACK_LEVELS } from '../../../core/message.ts';

const id = Type.String();
const time = Type.String({ format: 'date-time', examples: ['2026-01-02T03:04:05.678Z'] });
const count = Type.Integer({ minimum: 0 });
const isSuccess = Type.Boolean({ examples: [true] });
const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

export const errorCodes = Object.keys(ERROR_KINDS) as ErrorCode[];

const problemSchema = Type.Object({
  field: Type.String({ description: 'Path in the body or the URL: `target.user_id`, `query.limit`.' }),
  problem: Type.String({ description: 'What is wrong and what is allowed.' }),
  value: Type.Optional(Type.Unknown({ description: 'What was sent, shortened.' })),
});

export const errorSchema = Type.Object(
  {
    error: Type.Boolean({ const: true }),
    status_code: Type.Integer(),
    code: Type.Enum(errorCodes, { type: 'string', description: 'A stable word.' }),
    message: Type.String({ description: 'What is wrong and what is allowed, for a person.' }),
    details: Type.Optional(Type.Array(problemSchema, { description: 'Every offending field.' })),
    service: Type.String(),
    path: nullable(Type.String()),
  },
  {
    description: 'Every answer that is not 2xx.',
    examples: [
      {
        error: true,
        status_code: 422,
        code: 'validation_failed',
        message: 'type must be one of progress, status, error, success, warning, info, custom',
        details: [
          {
            field: 'type',
            problem: 'must be one of progress, status, error, success, warning, info, custom',
            value: 'progres',
          },
        ],
        service: 'message-push-service',
        path: PUBLISH_PATHS.send,
      },
    ],
  },
);

const publishedProperties = {
  success: isSuccess,
  message_id: id,
  sent_to_connections: Type.Integer({
    minimum: 0,
    description:
      'Streams that are open on the channels of the message now, on all nodes. 0 is not a failure: history keeps the message.',
  }),
  timestamp: time,
  ack: Type.Enum([...ACK_LEVELS], {
    type: 'string',
    description:
      'The level that was reached: `stored` by the engine, or `replicated` to `ACK_REPLICAS` Redis replicas as well.',
  }),
  repeated: Type.Optional(
    Type.Boolean({ description: 'The answer of an earlier publish with this id; nothing was stored again.' }),
  ),
};

export const publishedSchema = Type.Object(publishedProperties, {
  description: 'The message is stored, at the requested level or above.',
  examples: [
    {
      success: true,
      message_id: '0b0a3a0e-5f4e-4a55-9c1b-0a4d3a3f7f10',
      sent_to_connections: 2,
      timestamp: '2026-01-02T03:04:05.678Z',
      ack: 'stored',
    },
  ],
});

const failedSchema = Type.Object({
  success: Type.Boolean({ const: false }),
  error: Type.String(),
  code: Type.Enum(errorCodes, { type: 'string' }),
  details: Type.Optional(Type.Array(problemSchema)),
});

export const batchAnswerSchema = Type.Object(
  {
    success: Type.Boolean({ description: 'All of them were stored.' }),
    total_messages: count,
    successful_count: count,
    failed_count: count,
    results: Type.Array(Type.Union([Type.Object(publishedProperties), failedSchema]), {
      description: 'One result per message, in the same order.',
    }),
  },
  { description: 'What became of each message.' },
);

export const backupSchema = Type.Object(
  {
    success: isSuccess,
    path: Type.String({ description: 'Path of the copy on the machine of the service.' }),
    bytes: count,
    seconds: Type.Number({ minimum: 0 }),
    timestamp: time,
  },
  { description: 'The copy is complete and on disk.' },
);

export const connectionSchema = Type.Object({
  connection_id: id,
  user_id: nullable(id),
  session_id: nullable(id),
  channels: Type.Array(Type.String()),
  connected_at: time,
  last_heartbeat: time,
  client_ip: Type.String(),
  queue_size: Type.Integer({ description: 'Messages that are not yet handed to the socket.' }),
  unsent_bytes: Type.Integer({ description: 'Bytes that the peer has not taken.' }),
  state: Type.Enum(['live', 'catching_up'], { type: 'string' }),
});

const nodes = Type.Optional(
  Type.Object(
    {
      answered: Type.Integer({ minimum: 1 }),
      known: Type.Integer({ minimum: 1, description: 'Nodes that are alive.' }),
    },
    {
      description:
        'With `scope=cluster`: how many nodes have answered. The streams of the others are missing.',
    },
  ),
);
const complete = Type.Optional(
  Type.Boolean({
    description: 'With `scope=cluster`: every node has answered, and no answer had to be cut.',
  }),
);

export const connectionsSchema = Type.Object(
  {
    success: isSuccess,
    total_connections: Type.Integer({ description: 'How many match, including those that are not listed.' }),
    connections: Type.Array(connectionSchema, { description: 'The oldest first.' }),
    nodes,
  },
  { description: 'Open streams.' },
);

export const statsSchema = Type.Object(
  {
    success: isSuccess,
    stats: Type.Object({
      total_connections: count,
      active_connections: Type.Integer({ description: 'Open streams that are not catching up.' }),
      messages_sent: Type.Integer({ description: 'Messages written to a stream, summed over streams.' }),
      messages_failed: Type.Integer({
        description: 'Messages that streams lost to a gap.',
      }),
      connections_created: count,
      connections_closed: count,
      total_channels: Type.Integer({
        description: 'Channels with at least one stream, each counted once on every node that has one.',
      }),
      connections_by_user: Type.Object({}, { additionalProperties: Type.Integer() }),
      uptime_seconds: Type.Number({ description: 'Uptime of the node that answers.' }),
      average_queue_size: Type.Number(),
    }),
    nodes,
    complete,
  },
  { description: 'Totals since the nodes started.' },
);

export const closedSchema = Type.Object(
  { success: isSuccess, message: Type.String(), connection_id: id },
  { description: 'The stream was told to end.' },
);

export const channelConnectionsSchema = Type.Object(
  {
    success: isSuccess,
    channel: Type.String(),
    connection_count: count,
    connections: Type.Array(connectionSchema),
    nodes,
  },
  { description: 'Open streams on the channel.' },
);

export const presenceSchema = Type.Object(
  {
    success: isSuccess,
    channel: Type.String(),
    user_count: Type.Integer({ description: 'Distinct users; streams without a user are not counted.' }),
    connection_count: count,
    users: Type.Array(Type.Object({ user_id: nullable(id), connections: count, since: time }), {
      description: '`user_id` is null for streams without a user.',
    }),
    nodes,
    complete,
  },
  { description: 'Users with an open stream on the channel.' },
);

export const channelListSchema = Type.Object(
  {
    success: isSuccess,
    channels: Type.Array(
      Type.Object({
        channel: Type.String(),
        connection_count: count,
        messages: Type.Integer({ description: 'Messages in history.' }),
        bytes: Type.Integer({ description: 'Bytes of JSON in history.' }),
        epoch: nullable(Type.String()),
        last_offset: count,
        last_published_at: nullable(time),
      }),
    ),
    has_more: Type.Boolean(),
    next: nullable(Type.String({ description: 'Pass it as `after` for the next page.' })),
    nodes,
  },
  { description: 'Channels with history or open streams, by name.' },
);

export const historySchema = Type.Object(
  {
    success: isSuccess,
    channel: Type.String(),
    epoch: Type.String({
      description: 'Identifies one life of the log. The same offset in another epoch is another message.',
    }),
    first_offset: nullable(Type.Integer({ description: 'Offset of the oldest entry in history.' })),
    last_offset: Type.Integer({
      description: 'Offset of the newest entry; 0 if nothing was ever published to the channel.',
    }),
    floor: Type.Integer({ description: 'Entries up to this offset were trimmed.' }),
    messages: Type.Array(
      Type.Object({
        offset: Type.Integer({ minimum: 1 }),
        timestamp: time,
        message: Type.Ref('Message#'),
      }),
    ),
    has_more: Type.Boolean(),
    next: nullable(
      Type.Integer({ description: 'Pass it as `from`, or as `to` when reversed, for the next page.' }),
    ),
  },
  { description: 'A page of the log.' },
);

const healthWord = Type.Enum(['healthy', 'degraded', 'unhealthy'], { type: 'string' });

export const healthSchema = Type.Object(
  {
    status: healthWord,
    service: Type.String(),
    version: Type.String(),
    timestamp: time,
    connection_manager: Type.Object({
      status: Type.Enum(['healthy', 'draining'], { type: 'string' }),
      active_connections: count,
      total_channels: count,
    }),
    message_queue: Type.Object(
      {
        status: healthWord,
        type: Type.Enum(['embedded', 'redis'], { type: 'string' }),
        reason: nullable(Type.String()),
        nodes: Type.Integer({ minimum: 1, description: 'Nodes that are alive, as this one sees them.' }),
      },
      { additionalProperties: true, description: 'Further fields depend on the engine.' },
    ),
    worker: Type.Optional(
      Type.Object(
        { index: count, pid: count },
        { description: 'The process that answered, if several serve the port.' },
      ),
    ),
  },
  { description: 'The state of the service.' },
);

export const probeSchema = Type.Object(
  {
    status: Type.Enum(['alive', 'ready', 'not_ready'], { type: 'string' }),
    reason: Type.Optional(Type.String()),
    timestamp: time,
  },
  { description: 'An answer for a probe.' },
);

export const rootSchema = Type.Object(
  {
    service: Type.String(),
    version: Type.String(),
    status: Type.String(),
    environment: Type.String(),
    port: Type.Integer(),
    docs_url: nullable(Type.String()),
    description: Type.String(),
    features: Type.Array(Type.String()),
    endpoints: Type.Object({}, { additionalProperties: Type.String() }),
  },
  { description: 'Name, version and endpoints of the service.' },
);

export const ticketSchema = Type.Object(
  {
    success: isSuccess,
    ticket: Type.String({ description: 'Pass it as `?ticket=`. Anybody who has it can use it.' }),
    ticket_id: Type.String({ description: 'Pass it as `token_id` to revoke the ticket.' }),
    user_id: nullable(id),
    channels: Type.Array(Type.String(), { description: 'Names and patterns that it may join.' }),
    expires_at: time,
  },
  { description: 'The ticket.' },
);

export const revokedSchema = Type.Object(
  {
    success: isSuccess,
    kind: Type.Enum(['user', 'token', 'connection'], { type: 'string' }),
    id,
    revoked_at: time,
    kept_until: Type.String({
      format: 'date-time',
      description: 'Every credential that the revocation concerns has expired by then.',
    }),
  },
  { description: 'The revocation is in force on every node.' },
);

export const renewedSchema = Type.Object(
  {
    success: isSuccess,
    connection_id: id,
    expires_at: nullable(
      Type.String({ format: 'date-time', description: 'null if the stream does not expire.' }),
    ),
  },
  { description: 'The stream goes on.' },
);
