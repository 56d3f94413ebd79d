/**
 * Publishing over a real socket. The plainest requests take the fast lane through the server; a request gets the same
 * answer however it is written.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type RawAnswer,
  type RawRequest,
  rawConversation,
  rawExchange,
  rawRequest,
  rawRequestText,
} from '../support/http/raw-http.ts';
import { readHistory } from '../support/messages/history.ts';
import { TestServer } from '../support/service/server.ts';
import { StreamClient } from '../support/streams/stream-client.ts';

const LANES: Readonly<Record<string, Partial<RawRequest>>> = {
  plain: {},
  'with an Origin': { headers: [['Origin', 'https://page.example']] },
  'with a header twice': {
    headers: [
      ['X-Twin', '1'],
      ['X-Twin', '2'],
    ],
  },
  'in chunks': { isChunked: true },
  'HTTP/1.0': { version: '1.0' },
  'with Expect': { headers: [['Expect', '100-continue']] },
  'with a query': {},
};
const MAX_MESSAGE_SIZE = 4096;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const JSON_HEADER = ['Content-Type', 'application/json'] as const;

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start({
    env: { MAX_MESSAGE_SIZE: String(MAX_MESSAGE_SIZE), MAX_BATCH_BYTES: '64KB', MAX_BATCH_SIZE: '10' },
  });
});
afterAll(() => server.dispose());

const good = { type: 'info', service: 'test', target: { user_id: '1' }, data: { a: 1 } };

function post(
  lane: string,
  kind: string,
  body: string | Uint8Array | object,
  type = 'application/json',
): Promise<RawAnswer> {
  const { headers = [], ...rest } = LANES[lane] ?? {};
  const bytes = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body);
  return rawRequest(server.port, {
    method: 'POST',
    path: `/sse/api/v1/messages/${kind}${lane === 'with a query' ? '?a=b' : ''}`,
    headers: [['Content-Type', type], ...headers],
    body: bytes,
    ...rest,
  });
}

interface ErrorBody {
  readonly code: string;
  readonly details?: readonly { field: string; problem: string }[];
}

const REFUSED: readonly (readonly [
  string,
  string,
  string | Uint8Array | object,
  number,
  string,
  readonly string[],
])[] = [
  ['malformed JSON', 'send', '{"type":', 400, 'malformed_json', []],
  ['no body', 'send', '', 400, 'malformed_json', []],
  ['no UTF-8', 'send', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), 400, 'malformed_json', []],
  ['an array', 'send', [], 422, 'validation_failed', ['body']],
  ['a number', 'send', '7', 422, 'validation_failed', ['body']],
  ['nothing in it', 'send', {}, 422, 'validation_failed', ['type', 'service', 'target', 'data']],
  ['an unknown type', 'send', { ...good, type: 'progres' }, 422, 'validation_failed', ['type']],
  ['an empty target', 'send', { ...good, target: {} }, 422, 'validation_failed', ['target']],
  [
    'an unknown target',
    'send',
    { ...good, target: { user: '1' } },
    422,
    'validation_failed',
    ['target.user'],
  ],
  [
    'a target that is a number',
    'send',
    { ...good, target: { user_id: 7 } },
    422,
    'validation_failed',
    ['target.user_id'],
  ],
  [
    'a control character in a name',
    'send',
    { ...good, target: { user_id: 'a\nb' } },
    422,
    'validation_failed',
    ['target.user_id'],
  ],
  [
    'a NUL in a name',
    'send',
    { ...good, target: { channel: 'a\0b' } },
    422,
    'validation_failed',
    ['target.channel'],
  ],
  [
    'a name that is too long',
    'send',
    { ...good, target: { channel: 'x'.repeat(300) } },
    422,
    'validation_failed',
    ['target.channel'],
  ],
  ['CR and LF in an id', 'send', { ...good, id: 'a\r\nb' }, 422, 'validation_failed', ['id']],
  [
    'a lone surrogate',
    'send',
    JSON.stringify(good).replace('"a":1', '"a":"\\ud800"'),
    422,
    'validation_failed',
    ['data.a'],
  ],
  [
    '__proto__',
    'send',
    JSON.stringify(good).replace('"a":1', '"__proto__":{"x":1}'),
    422,
    'validation_failed',
    ['data.__proto__'],
  ],
  ['data that is a text', 'send', { ...good, data: 'x' }, 422, 'validation_failed', ['data']],
  ['a negative ttl', 'send', { ...good, ttl: -1 }, 422, 'validation_failed', ['ttl']],
  ['an unknown priority', 'send', { ...good, priority: 'asap' }, 422, 'validation_failed', ['priority']],
  [
    'several things',
    'send',
    { ...good, type: 'x', ttl: 'y', target: { kb_id: '' } },
    422,
    'validation_failed',
    ['type', 'ttl', 'target.kb_id'],
  ],
  ['a target', 'broadcast', good, 422, 'validation_failed', ['target']],
  ['an object', 'batch', good, 422, 'validation_failed', ['body']],
  ['an empty array', 'batch', [], 422, 'validation_failed', ['body']],
  ['too many messages', 'batch', Array(11).fill(good), 422, 'validation_failed', ['body']],
];

describe.each(Object.keys(LANES))('a publish: %s', (lane) => {
  it('is answered with its id, its time and how many streams it reaches', async () => {
    const stream = new StreamClient({ port: server.port, path: '/sse/user/contract' });
    await stream.opened();
    const id = `good-${lane.replaceAll(' ', '-')}`;
    const answer = await post(lane, 'send', { ...good, id, target: { user_id: 'contract' }, source: 'part' });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(JSON.parse(answer.body)).toEqual({
      success: true,
      message_id: id,
      sent_to_connections: 1,
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      ack: 'stored',
    });
    const event = await stream.event('the message', (e) => e.type === 'info');
    expect(JSON.parse(event.data)).toEqual({
      id,
      timestamp: JSON.parse(answer.body).timestamp,
      type: 'info',
      service: 'test',
      source: 'part',
      target: { user_id: 'contract' },
      data: { a: 1 },
      metadata: { priority: 'normal', ttl: 3600 },
    });
    stream.close();
  });

  it('gets an id and a source when it has none', async () => {
    const answer = await post(lane, 'send', { ...good, target: { user_id: `no-id-${lane}` } });
    expect(JSON.parse(answer.body).message_id).toMatch(UUID);
    const { entries } = await readHistory(server.url, `user:no-id-${lane}`);
    expect(entries[0]?.message).toMatchObject({ source: 'message-push-service' });
  });

  it('is stored once however often its id is sent, and refused with another body', async () => {
    const channel = `once-${lane.replaceAll(' ', '-')}`;
    const body = { ...good, id: channel, target: { channel } };
    const first = JSON.parse((await post(lane, 'send', body)).body);
    const again = await post(lane, 'send', body);
    expect(JSON.parse(again.body)).toEqual({ ...first, repeated: true });
    const other = await post(lane, 'send', { ...body, data: { a: 2 } });
    expect(other.status).toBe(409);
    expect(JSON.parse(other.body)).toMatchObject({
      error: true,
      status_code: 409,
      code: 'id_conflict',
      details: [{ field: 'id' }],
    });
    expect((await readHistory(server.url, `channel:${channel}`)).lastOffset).toBe(1);
  });

  it.each(REFUSED)('is refused by name: %s in %s', async (_name, kind, body, status, code, fields) => {
    const answer = await post(lane, kind, body);
    const error = JSON.parse(answer.body) as ErrorBody;
    expect(error).toMatchObject({
      error: true,
      status_code: status,
      code,
      message: expect.any(String),
      service: 'message-push-service',
      path: `/sse/api/v1/messages/${kind}`,
    });
    expect(answer.status).toBe(status);
    expect(new Set(error.details?.map((d) => d.field) ?? [])).toEqual(new Set(fields));
    expect(answer.body).toBe((await post('plain', kind, body)).body);
  });

  it('is refused when it is too large', async () => {
    const answer = await post(lane, 'send', { ...good, data: { text: 'x'.repeat(MAX_MESSAGE_SIZE) } });
    expect(answer.status).toBe(413);
    expect(JSON.parse(answer.body)).toMatchObject({
      error: true,
      status_code: 413,
      code: 'message_too_large',
    });
  });

  it('is refused when it is no JSON by its own account', async () => {
    const answer = await post(lane, 'send', good, 'text/plain');
    expect(answer.status).toBe(415);
    expect(JSON.parse(answer.body).code).toBe('unsupported_media_type');
  });

  it('of many is answered one by one, in order', async () => {
    const channel = `batch-${lane.replaceAll(' ', '-')}`;
    const one = (n: number): object => ({ ...good, id: `${channel}-${n}`, target: { channel }, data: { n } });
    const answer = await post(lane, 'batch', [one(0), { ...good, type: 'nope' }, one(2), one(0)]);
    expect(answer.status).toBe(200);
    const stored = (n: number): object => ({
      success: true,
      message_id: `${channel}-${n}`,
      sent_to_connections: 0,
      timestamp: expect.any(String),
      ack: 'stored',
    });
    expect(JSON.parse(answer.body)).toEqual({
      success: false,
      total_messages: 4,
      successful_count: 3,
      failed_count: 1,
      results: [
        stored(0),
        {
          success: false,
          error: expect.any(String),
          code: 'validation_failed',
          details: [expect.objectContaining({ field: '[1].type' })],
        },
        stored(2),
        { ...stored(0), repeated: true },
      ],
    });
    const { entries } = await readHistory(server.url, `channel:${channel}`);
    expect(entries.map((e) => e.message.data)).toEqual([{ n: 0 }, { n: 2 }]);
  });

  it('to everybody reaches every stream but the excluded ones', async () => {
    const streams = [1, 2].map(() => new StreamClient({ port: server.port, path: '/sse/stream' }));
    await Promise.all(streams.map((s) => s.opened()));
    const text = `to all ${lane}`;
    const exclude = [streams[0]?.headers.get('x-connection-id')];
    const answer = await post(lane, 'broadcast', {
      type: 'warning',
      service: 'test',
      data: { text },
      exclude_connections: exclude,
    });
    expect(JSON.parse(answer.body)).toMatchObject({ success: true, sent_to_connections: expect.any(Number) });
    await streams[1]?.event('the broadcast', (e) => e.type === 'warning');
    // The next message has arrived without it.
    await post(lane, 'broadcast', { type: 'success', service: 'test', data: { text } });
    await streams[0]?.event('the next broadcast', (e) => e.type === 'success');
    expect(streams[0]?.events.filter((e) => e.type === 'warning')).toEqual([]);
    for (const stream of streams) stream.close();
  });
});

describe('a connection of a publisher', () => {
  it('answers requests that are sent ahead one after the other, whichever way each takes', async () => {
    const channel = 'ahead';
    const texts = [0, 1, 2, 3].map((n) =>
      rawRequestText(server.port, {
        method: 'POST',
        path: '/sse/api/v1/messages/send',
        headers: [
          JSON_HEADER,
          ...(n === 2 ? [['Origin', 'https://page.example'] as const] : []),
          ...(n === 3 ? [['Connection', 'close'] as const] : []),
        ],
        body: JSON.stringify({ ...good, id: `ahead-${n}`, target: { channel }, data: { n } }),
      }),
    );
    const answers = await rawConversation(server.port, Buffer.concat(texts), { count: texts.length });
    expect(answers.map((a) => JSON.parse(a.body).message_id)).toEqual([0, 1, 2, 3].map((n) => `ahead-${n}`));
    const { entries } = await readHistory(server.url, 'channel:ahead');
    expect(entries.map((e) => e.message.data)).toEqual([{ n: 0 }, { n: 1 }, { n: 2 }, { n: 3 }]);
  });

  it.each([
    ['an unknown method', 'BREW /sse/health HTTP/1.1\r\nHost: x\r\n\r\n', [400, 405]],
    ['no HTTP', 'hello\r\n\r\n', [400]],
    [
      'two lengths',
      'POST /sse/api/v1/messages/send HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}',
      [400],
    ],
    [
      'a length and chunks',
      'POST /sse/api/v1/messages/send HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      [400],
    ],
    [
      'a bad length',
      'POST /sse/api/v1/messages/send HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n',
      [400],
    ],
    ['a space before the colon', 'GET /sse/health HTTP/1.1\r\nHost : x\r\n\r\n', [400]],
    ['no host', 'GET /sse/health HTTP/1.1\r\n\r\n', [400]],
    [
      'a head that is too large',
      `GET /sse/health HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`,
      [431],
    ],
  ])('is refused when it is ambiguous or wrong: %s', async (_name, text, statuses) => {
    const answer = await rawExchange(server.port, Buffer.from(text));
    expect(statuses).toContain(answer.status);
    // Other messages are not affected.
    expect((await post('plain', 'send', good)).status).toBe(200);
  });
});

describe('ids', () => {
  it('are remembered over a restart and a crash', async () => {
    const own = await TestServer.start();
    try {
      const body = { ...good, id: 'restart', target: { channel: 'restart' } };
      const send = async (data: object): Promise<RawAnswer> =>
        rawRequest(own.port, {
          method: 'POST',
          path: '/sse/api/v1/messages/send',
          headers: [JSON_HEADER],
          body: JSON.stringify({ ...body, data }),
        });
      const first = JSON.parse((await send({ a: 1 })).body);
      await own.stop();
      await own.start();
      expect(JSON.parse((await send({ a: 1 })).body)).toEqual({ ...first, repeated: true });
      await own.kill();
      await own.start();
      expect(JSON.parse((await send({ a: 1 })).body)).toEqual({ ...first, repeated: true });
      expect((await send({ a: 2 })).status).toBe(409);
      expect((await readHistory(own.url, 'channel:restart')).lastOffset).toBe(1);
    } finally {
      await own.dispose();
    }
  });
});
