/**
 * The events of a stream, for the API documentation. OpenAPI cannot model a stream, so the `data:` of each event is a
 * component with an example, and `x-event` is the name of the event.
 */
import { GAP_REASONS, MESSAGE_TYPES, type MessageType } from '@message-push/protocol';
import Type, { type TSchema } from 'typebox';
import { STREAM_ENDS } from '../../../core/stream-ends.ts';
import { metadataSchema, targetSchema } from '../../../publish/message-schema.ts';

const TIME = '2026-01-02T03:04:05.678Z';
const ID = '0b0a3a0e-5f4e-4a55-9c1b-0a4d3a3f7f10';
const time = Type.String({ format: 'date-time' });

function messageSchema(type: MessageType | undefined, data: object): TSchema {
  const { minProperties: _, ...anyTarget } = targetSchema as TSchema & { minProperties?: number };
  return Type.Object(
    {
      id: Type.String({ description: 'The id that the publisher chose or was given. It is not the SSE id.' }),
      timestamp: time,
      type: Type.Unsafe({ type: 'string', enum: type === undefined ? MESSAGE_TYPES : [type] }),
      service: Type.String(),
      source: Type.String(),
      target: Type.Unsafe({ ...anyTarget, description: 'Empty in a broadcast.' }),
      data: Type.Object({}, { additionalProperties: true, description: 'The data of the publisher.' }),
      metadata: metadataSchema,
    },
    {
      description:
        type === undefined ? 'A message as subscribers receive it.' : `A message of type \`${type}\`.`,
      ...(type === undefined ? {} : { 'x-event': type }),
      examples: [
        {
          id: ID,
          timestamp: TIME,
          type: type ?? 'progress',
          service: 'knowledge-service',
          source: 'document_processing',
          target: { user_id: '123' },
          data,
          metadata: { priority: 'normal', ttl: 3600 },
        },
      ],
    },
  );
}

const EXAMPLE_DATA: Readonly<Record<MessageType, object>> = {
  progress: { task_id: 'task_456', progress: 50, stage: 'processing' },
  status: { task_id: 'task_456', status: 'running' },
  error: { task_id: 'task_456', error_message: 'The file cannot be read.' },
  success: { task_id: 'task_456', result: { pages: 12 } },
  warning: { message: 'The quota is nearly used up.' },
  info: { message: 'Maintenance begins in ten minutes.' },
  custom: { token: 'Hello', index: 0 },
};

function controlSchema(
  name: string | undefined,
  description: string,
  data: TSchema,
  example: object,
  type = name,
): TSchema {
  return Type.Object(
    { id: Type.String(), timestamp: time, type: Type.Enum([type ?? ''], { type: 'string' }), data },
    {
      description,
      'x-event': name ?? '(unnamed)',
      examples: [{ id: ID, timestamp: TIME, type, data: example }],
    },
  );
}

const positionSchema = Type.Object({ offset: Type.Integer(), epoch: Type.String() });
const nullable = (schema: TSchema): TSchema => Type.Union([schema, Type.Null()]);

const channelGapSchema = Type.Object({
  channel: Type.String(),
  reason: Type.Enum([...GAP_REASONS], { type: 'string' }),
  last_seen: nullable(positionSchema),
  missed: nullable(Type.Integer({ description: 'How many messages are lost; null if unknown.' })),
  available: nullable(Type.Object({ from: Type.Integer(), to: Type.Integer() })),
  epoch: nullable(Type.String()),
});

function endsWith(farewell: 'reconnect' | 'end'): string[] {
  return Object.entries(STREAM_ENDS)
    .filter(([, end]) => end.farewell === farewell)
    .map(([reason]) => reason);
}

function farewellData(farewell: 'reconnect' | 'end'): TSchema {
  return Type.Object(
    {
      reason: Type.Enum(endsWith(farewell), { type: 'string' }),
      ...(farewell === 'reconnect'
        ? { retry_ms: Type.Integer({ description: 'The same as the `retry:` line.' }) }
        : {}),
    },
    { additionalProperties: true },
  );
}

const EVENT_NAMES: Readonly<Record<MessageType, string>> = {
  progress: 'ProgressEvent',
  status: 'StatusEvent',
  error: 'ErrorEvent',
  success: 'SuccessEvent',
  warning: 'WarningEvent',
  info: 'InfoEvent',
  custom: 'CustomEvent',
};

/** The JSON in the `data:` of each event, by the name of its component. */
export const eventSchemas: Readonly<Record<string, TSchema>> = {
  Message: messageSchema(undefined, EXAMPLE_DATA.progress),
  ConnectionEvent: controlSchema(
    undefined,
    'The first event of a stream. It has no name, so `onmessage` gets it.',
    Type.Object({
      connection_id: Type.String(),
      message: Type.String(),
      channels: Type.Array(Type.String()),
    }),
    {
      connection_id: '5f6c1b1e-8e5d-4c43-b0a5-6f1d7f4d2c11',
      message: 'SSE connection established',
      channels: ['broadcast', 'user:123', 'connection:5f6c1b1e-8e5d-4c43-b0a5-6f1d7f4d2c11'],
    },
    'connection',
  ),
  HeartbeatEvent: Type.Object(
    { timestamp: time },
    {
      description: 'Sent every `HEARTBEAT_INTERVAL` seconds. A client that misses two should reconnect.',
      'x-event': 'heartbeat',
      examples: [{ timestamp: TIME }],
    },
  ),
  ...Object.fromEntries(
    MESSAGE_TYPES.map((type) => [EVENT_NAMES[type], messageSchema(type, EXAMPLE_DATA[type])]),
  ),
  GapEvent: controlSchema(
    'gap',
    'This stream has missed messages that history no longer has. A client that keeps state should load it again; the stream goes on.',
    Type.Object({ channels: Type.Array(channelGapSchema) }),
    {
      channels: [
        {
          channel: 'user:123',
          reason: 'trimmed',
          last_seen: { offset: 17, epoch: 'k3x9q2' },
          missed: 25,
          available: { from: 43, to: 90 },
          epoch: 'k3x9q2',
        },
      ],
    },
  ),
  ExpiringEvent: controlSchema(
    'expiring',
    'The credential of this stream expires soon. The stream ends with it unless it is renewed: POST to `/sse/api/v1/connections/{connection_id}/renew` with a newer credential.',
    Type.Object({
      connection_id: Type.String(),
      expires_at: time,
      expires_in_ms: Type.Integer(),
    }),
    {
      connection_id: '5f6c1b1e-8e5d-4c43-b0a5-6f1d7f4d2c11',
      expires_at: '2026-01-02T03:05:05.678Z',
      expires_in_ms: 60_000,
    },
  ),
  ReconnectEvent: controlSchema(
    'reconnect',
    'The service ends the stream and expects the client back after the `retry:` time, which `EventSource` does by itself.',
    farewellData('reconnect'),
    { reason: 'draining', retry_ms: 3000 },
  ),
  EndEvent: controlSchema(
    'end',
    'The service ends the stream and the client need not come back: close the `EventSource`.',
    farewellData('end'),
    { reason: 'kicked' },
  ),
};
