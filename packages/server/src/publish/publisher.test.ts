import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { RequestError } from '../core/errors.ts';
import type { Draft, PublishKind } from '../core/message.ts';
import { carriedTraceparent } from '../observe/tracing/trace-context.ts';
import { Publisher, type PublisherOptions } from './publisher.ts';

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
let drafts: Draft[];
let refuse: (draft: Draft) => unknown;
let isRepeat: boolean;
let failures: unknown[];

const options: PublisherOptions = {
  engine: {
    async publish(draft) {
      const error = refuse(draft);
      if (error !== undefined) throw error;
      drafts.push(draft);
      return { messageId: draft.message.id, places: [], timeMs: NOW, isRepeat, ack: draft.ack };
    },
  },
  audience: {
    countStreams: (_receipt, { channels, exclude }) => channels.length * 10 - (exclude?.length ?? 0),
  },
  serviceName: 'message-push-service',
  messageTtlMs: 3_600_000,
  maxJsonDepth: 8,
  maxMessageBytes: 4_096,
  maxBatchBytes: 65_536,
  maxBatchSize: 5,
  now: () => NOW,
  observer: { onPublished: () => {}, onFailed: (error) => failures.push(error) },
};
const publisher = new Publisher(options);
/** On an engine with replicas, with `ACK_LEVEL=replicated`. */
const safePublisher = new Publisher({
  ...options,
  ackLevel: 'replicated',
  ackLevels: ['stored', 'replicated'],
});

beforeEach(() => {
  drafts = [];
  failures = [];
  refuse = () => undefined;
  isRepeat = false;
});

const base = { type: 'progress', service: 'kb', target: { user_id: '7' }, data: { progress: 50 } };

interface Answer {
  message_id?: string;
  sent_to_connections?: number;
  results?: { message_id?: string }[];
}

interface Wire {
  source?: string;
  target?: object;
  metadata?: object;
}

async function publish(body: unknown, kind: PublishKind = 'send'): Promise<Answer> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return JSON.parse(await publisher.handle({ kind, body: Buffer.from(text) }));
}

async function refusal(body: unknown, kind: PublishKind = 'send'): Promise<RequestError> {
  const bytes = body instanceof Uint8Array ? body : undefined;
  const answer = bytes === undefined ? publish(body, kind) : publisher.handle({ kind, body: bytes });
  const error = await answer.then(
    (text) => expect.fail(`accepted: ${JSON.stringify(text)}`),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(RequestError);
  expect(drafts).toEqual([]);
  return error as RequestError;
}

async function refusedFields(body: unknown, kind: PublishKind = 'send'): Promise<Record<string, string>> {
  const error = await refusal(body, kind);
  expect(error.code).toBe('validation_failed');
  return Object.fromEntries((error.details ?? []).map(({ field, problem }) => [field, problem]));
}

function published(index = 0): { draft: Draft; text: string; wire: Wire } {
  const draft = drafts[index];
  if (draft === undefined) throw new Error('nothing was published');
  const text = Buffer.from(draft.message.json).toString();
  return { draft, text, wire: JSON.parse(text) };
}

describe('a message that fits', () => {
  test('is stored as its wire object and answered with its id, audience and time', async () => {
    const answer = await publish({ ...base, id: 'm-1', source: 'docs' });
    expect(answer).toEqual({
      success: true,
      message_id: 'm-1',
      sent_to_connections: 10,
      timestamp: '2026-01-02T03:04:05.678Z',
      ack: 'stored',
    });
    expect(published().wire).toEqual({
      id: 'm-1',
      timestamp: '2026-01-02T03:04:05.678Z',
      type: 'progress',
      service: 'kb',
      source: 'docs',
      target: { user_id: '7' },
      data: { progress: 50 },
      metadata: { priority: 'normal', ttl: 3600 },
    });
  });

  test('without an id gets one, and no fingerprint', async () => {
    const answer = await publish(base);
    expect(answer.message_id).toMatch(/^[0-9a-f-]{36}$/);
    expect(published().draft.fingerprint).toBeUndefined();
  });

  test('without a source is given the name of the service', async () => {
    await publish(base);
    expect(published().wire.source).toBe('message-push-service');
  });

  test('reaches the channels of its target in the order that the protocol fixes', async () => {
    const target = { connection_id: 'c', agent_id: 'a', task_id: 't', channel: 'x', user_id: 'u' };
    await publish({ ...base, target });
    expect(published().draft.message.channels).toEqual([
      'user:u',
      'channel:x',
      'task:t',
      'agent:a',
      'connection:c',
    ]);
  });

  test('may have null for every optional field', async () => {
    const nulls = { source: null, priority: null, ttl: null, id: null, unknown: null };
    await publish({
      ...base,
      ...nulls,
      target: { user_id: '7', task_id: null },
      metadata: { trace_id: null, own: null },
    });
    expect(published().wire).toMatchObject({
      target: { user_id: '7' },
      metadata: { priority: 'normal', ttl: 3600, own: null },
    });
    expect(published().wire.metadata).not.toHaveProperty('trace_id');
    await publish({ ...base, metadata: null });
  });

  test('passes further metadata on, and its own priority and ttl win over those inside', async () => {
    const metadata = { priority: 'low', ttl: 5, trace_id: 'abc', own: [1] };
    await publish({ ...base, priority: 'urgent', ttl: 60, metadata });
    expect(published().wire.metadata).toEqual({ priority: 'urgent', ttl: 60, trace_id: 'abc', own: [1] });
    expect(published().draft).toMatchObject({ ttlMs: 60_000, hasOwnTtl: true });
    await publish({ ...base, metadata });
    expect(published(1).wire.metadata).toMatchObject({ priority: 'low', ttl: 5 });
  });

  test('stays until trimmed with ttl 0, and has no ttl of its own unless it names one', async () => {
    await publish({ ...base, ttl: 0 });
    expect(published(0).draft).toMatchObject({ ttlMs: undefined, hasOwnTtl: false });
    await publish(base);
    expect(published(1).draft).toMatchObject({ ttlMs: 3_600_000, hasOwnTtl: false });
  });

  test('has a fingerprint that is equal for equal bodies and no others', async () => {
    const variants = [
      { ...base, id: 'i' },
      { ...base, id: 'i', data: { progress: 51 } },
      { ...base, id: 'i', ttl: 9 },
      { ...base, id: 'i', metadata: { trace_id: 't' } },
      { ...base, id: 'i', target: { user_id: '8' } },
    ];
    for (const body of [...variants, ...variants]) await publish(body);
    const prints = drafts.map((draft) => draft.fingerprint);
    expect(prints.slice(0, 5)).toEqual(prints.slice(5));
    expect(new Set(prints).size).toBe(5);
  });

  test('that was published before is answered as repeated', async () => {
    isRepeat = true;
    expect(await publish({ ...base, id: 'i' })).toMatchObject({ message_id: 'i', repeated: true });
  });

  test('may begin with a byte order mark', async () => {
    await publish(`\ufeff${JSON.stringify(base)}`);
    expect(drafts).toHaveLength(1);
  });
});

describe('the level of acknowledgement', () => {
  const askedFor = async (metadata: object | null, queryAck?: string, kind: PublishKind = 'send') => {
    drafts = [];
    const body = { ...base, ...(kind === 'broadcast' ? { target: {} } : {}), metadata };
    const text = JSON.stringify(kind === 'batch' ? [body] : body);
    await safePublisher.handle({ kind, body: Buffer.from(text), queryAck });
    return drafts[0]?.ack;
  };

  test("is the message's own, else the request's, else the default", async () => {
    expect(await askedFor({ ack: 'stored' }, 'replicated')).toBe('stored');
    expect(await askedFor({ ack: 'replicated' }, 'stored')).toBe('replicated');
    expect(await askedFor({ ack: null }, 'stored')).toBe('stored');
    expect(await askedFor({}, 'stored', 'broadcast')).toBe('stored');
    expect(await askedFor(null, 'stored', 'batch')).toBe('stored');
    expect(await askedFor({ ack: 'stored' }, undefined, 'batch')).toBe('stored');
    expect(await askedFor(null)).toBe('replicated');
    await publish(base);
    expect(drafts.at(-1)?.ack).toBe('stored');
  });

  test('that was reached is in the answer, and that of the metadata reaches subscribers as it came', async () => {
    const body = Buffer.from(JSON.stringify({ ...base, metadata: { ack: 'replicated', trace_id: 't' } }));
    expect(JSON.parse(await safePublisher.handle({ kind: 'send', body }))).toMatchObject({
      ack: 'replicated',
    });
    expect(published().wire.metadata).toMatchObject({ ack: 'replicated', trace_id: 't' });
  });

  test('makes no other message: a repeat may ask for another one', async () => {
    const variants = [
      [
        { ...base, id: 'i' },
        { ...base, id: 'i', metadata: { ack: 'stored' } },
      ],
      [
        { ...base, id: 'i', metadata: {} },
        { ...base, id: 'i', metadata: { ack: 'replicated' } },
      ],
      [
        { ...base, id: 'i', metadata: { trace_id: 't' } },
        { ...base, id: 'i', metadata: { trace_id: 't', ack: 'stored' } },
      ],
    ];
    for (const pair of variants) {
      drafts = [];
      for (const body of pair) {
        await safePublisher.handle({ kind: 'send', body: Buffer.from(JSON.stringify(body)) });
      }
      const [first, second] = drafts;
      expect(first?.fingerprint).toEqual(expect.any(String));
      expect(second?.fingerprint).toBe(first?.fingerprint);
    }
  });

  test('that is none, or none of the engine, is refused by field, value and what is allowed', async () => {
    const detailsOf = async (metadata: object) => (await refusal({ ...base, metadata })).details;
    expect(await detailsOf({ ack: 'safe' })).toEqual([
      { field: 'metadata.ack', problem: 'must be one of stored, replicated', value: 'safe' },
    ]);
    expect((await detailsOf({ ack: true }))?.[0]).toMatchObject({ field: 'metadata.ack', value: true });
    expect(await detailsOf({ ack: 'replicated' })).toEqual([
      {
        field: 'metadata.ack',
        problem: 'must be stored: replicated needs MESSAGE_QUEUE_TYPE=redis',
        value: 'replicated',
      },
    ]);
    const answer = await publish([base, { ...base, metadata: { ack: 'replicated' } }], 'batch');
    expect(answer.results).toMatchObject([
      { success: true },
      { code: 'validation_failed', details: [{ field: '[1].metadata.ack' }] },
    ]);
  });

  test('of the query that is none refuses the whole request, a batch too', async () => {
    for (const [kind, body] of [
      ['send', base],
      ['batch', [base]],
    ] as const) {
      const error = await publisher
        .handle({ kind, body: Buffer.from(JSON.stringify(body)), queryAck: 'safe' })
        .catch((e: unknown) => e);
      const details = [{ field: 'query.ack', problem: 'must be one of stored, replicated', value: 'safe' }];
      expect(error).toMatchObject({ code: 'validation_failed', details });
    }
    expect(drafts).toEqual([]);
  });
});

describe('a broadcast', () => {
  test('goes to the broadcast channel, without the connections it excludes', async () => {
    const { target: _, ...body } = base;
    const answer = await publish({ ...body, exclude_connections: ['a', 'b'] }, 'broadcast');
    expect(answer.sent_to_connections).toBe(8);
    expect(published().draft.message).toMatchObject({ channels: ['broadcast'], exclude: ['a', 'b'] });
    expect(published().wire.target).toEqual({});
  });

  test('with a target is refused, for it would reach everybody', async () => {
    expect(Object.keys(await refusedFields(base, 'broadcast'))).toEqual(['target']);
  });

  test('names at most a thousand connections, and a million wrong ones cost one finding', async () => {
    const wide = new Publisher({
      engine: { publish: () => Promise.reject(new Error('must not be reached')) },
      audience: { countStreams: () => 0 },
      serviceName: 's',
      messageTtlMs: 0,
      maxJsonDepth: 8,
      maxMessageBytes: 1e7,
      maxBatchBytes: 1e7,
      maxBatchSize: 1,
      now: () => 0,
    });
    const { target: _, ...body } = base;
    const text = JSON.stringify({ ...body, exclude_connections: Array.from({ length: 1e6 }, () => 1) });
    const error: unknown = await wide
      .handle({ kind: 'broadcast', body: Buffer.from(text) })
      .catch((e: unknown) => e);
    expect((error as RequestError).details).toHaveLength(1);
  });
});

describe('numbers', () => {
  test.each([
    '12345678901234567890',
    '-9007199254740993',
    '0.1234567890123456789012',
    '1e400',
    '-1E+2',
    '1.0',
    '-0',
    '0.00000001',
    '100',
    '0.1',
  ])('%s reaches the subscriber digit for digit', async (number) => {
    const data = `{"n":${number},"list":[[${number}],${number}]}`;
    await publish(
      `{"type":"info","service":"s","target":{"user_id":"1"},"data":${data},"metadata":{"x":${number}}}`,
    );
    const { text } = published();
    expect(text).toContain(`"data":${data}`);
    expect(text).toContain(`"x":${number}`);
    await publish(`[{"type":"info","service":"s","target":{"user_id":"1"},"data":${data}}]`, 'batch');
    expect(published(1).text).toContain(`"data":${data}`);
  });

  test('written by any JSON writer come out as they went in', async () => {
    const digits = fc.stringMatching(/^-?(0|[1-9]\d{0,24})(\.\d{1,24})?([eE][+-]?\d{1,3})?$/);
    await fc.assert(
      fc.asyncProperty(digits, async (number) => {
        drafts = [];
        await publish(`{"type":"info","service":"s","target":{"user_id":"1"},"data":{"n": ${number}}}`);
        expect(published().text).toContain(`"data":{"n":${number}}`);
      }),
    );
  });

  test('in fields with a meaning are taken by their value', async () => {
    await publish(
      `{"type":"info","service":"s","target":{"user_id":"1"},"data":{},"ttl":60.0,"metadata":{"ttl":7.0}}`,
    );
    expect(published().text).toContain('"ttl":60}');
  });
});

describe('a body that is no JSON', () => {
  test.each([
    ['nothing', '', 'the body is empty'],
    ['an unfinished object', '{"type":', 'Unexpected end of JSON input'],
    ['a missing comma', '{"a":1 "b":2}', 'position 7'],
    ['thousands of brackets', '['.repeat(4_000), 'not valid JSON'],
    ['a raw control character', '{"a":"\u0001"}', 'control character'],
  ])('is malformed_json and says why: %s', async (_, body, reason) => {
    const error = await refusal(body);
    expect(error).toMatchObject({ code: 'malformed_json', status: 400 });
    expect(error.message).toContain(reason);
  });

  test('is malformed_json with the first byte that is no UTF-8', async () => {
    const error = await refusal(Buffer.from([0x22, 0xef, 0xbf, 0xbd, 0xe4, 0xb8, 0xad, 0xff, 0x22]));
    expect(error).toMatchObject({ code: 'malformed_json' });
    expect(error.message).toContain('byte 7 ');
  });
});

describe('a body that does not fit', () => {
  test('names every offending field, with what is allowed', async () => {
    const body = {
      type: 'progres',
      service: '',
      target: { user_id: '', userId: '7', task_id: 'a\nb' },
      ttl: -1,
      priority: 'highest',
      metadata: { trace_id: 5 },
    };
    const fields = await refusedFields(body);
    expect(fields).toEqual({
      type: 'must be one of progress, status, error, success, warning, info, custom',
      service: 'must not be empty',
      data: 'is required',
      'target.user_id': 'must not be empty',
      'target.userId':
        'is unknown; the allowed fields are user_id, session_id, connection_id, channel, service, kb_id, task_id, agent_id',
      'target.task_id': 'must not contain control characters (U+000A at position 1)',
      ttl: 'must be at least 0',
      priority: 'must be one of low, normal, high, urgent',
      'metadata.trace_id': 'must be a string',
    });
  });

  test.each([
    ['an array', [], 'body', 'must be a JSON object'],
    ['null', null, 'body', 'must be a JSON object'],
    ['an empty target', { ...base, target: {} }, 'target', 'must have at least one of user_id'],
    ['a target of nulls', { ...base, target: { user_id: null } }, 'target', 'must have at least one of'],
    ['no target', { ...base, target: undefined }, 'target', 'is required'],
    ['a number as a name', { ...base, target: { user_id: 7 } }, 'target.user_id', 'must be a string'],
    ['data that is a list', { ...base, data: [1] }, 'data', 'must be an object'],
    ['data that is null', { ...base, data: null }, 'data', 'is required'],
    ['half a second of ttl', { ...base, ttl: 0.5 }, 'ttl', 'must be an integer'],
    ['a month and a second', { ...base, ttl: 2_592_001 }, 'ttl', 'must be at most 2592000'],
    ['a long id', { ...base, id: 'x'.repeat(129) }, 'id', 'must have at most 128 characters'],
    ['an id of two lines', { ...base, id: 'a\r\nb' }, 'id', 'control characters (U+000D at position 1)'],
    ['NUL in a service', { ...base, service: 'a\0' }, 'service', 'control characters (U+0000'],
    ['a long channel', { ...base, target: { kb_id: '中'.repeat(85) } }, 'target.kb_id', 'at most 253 bytes'],
    ['a lone surrogate', { ...base, data: { a: [0, { b: '\ud800' }] } }, 'data.a[1].b', 'lone surrogate'],
    ['a surrogate in a name', { ...base, data: { '\udc00': 1 } }, 'data.\ufffd', 'well-formed Unicode'],
    [
      'a surrogate in a target',
      { ...base, target: { user_id: '\ud800' } },
      'target.user_id',
      'lone surrogate',
    ],
  ])('is refused by its field: %s', async (_, body, field, problem) => {
    expect((await refusedFields(body))[field]).toContain(problem);
  });

  test.each([
    ['at the top', '{"__proto__":{"x":1}}', '__proto__'],
    ['in data', '{"data":{"a":{"__proto__":1}}}', 'data.a.__proto__'],
    ['written with an escape', '{"data":{"\\u005f_proto__":1}}', 'data.__proto__'],
    ['in metadata', '{"metadata":{"__proto__":{}}}', 'metadata.__proto__'],
  ])('is refused when it has a __proto__ %s', async (_, body, field) => {
    expect(Object.keys(await refusedFields(body))).toEqual([field]);
    expect({}).not.toHaveProperty('x');
  });

  test('may be nested as deep as allowed and no deeper', async () => {
    const nested = (levels: number) => `{"a":${'['.repeat(levels)}${']'.repeat(levels)}}`;
    const body = (data: string) => `{"type":"info","service":"s","target":{"user_id":"1"},"data":${data}}`;
    const fields = await refusedFields(body(nested(7)));
    expect(fields).toEqual({
      'data.a[0][0][0][0][0][0]': 'is nested too deeply: at most 8 levels are allowed',
    });
    expect(Object.keys(await refusedFields(body(nested(2_000))))).toHaveLength(1);
    await publish(body(nested(6)));
    expect(drafts).toHaveLength(1);
  });

  test('is too large above the limit, in bytes', async () => {
    const error = await refusal({ ...base, data: { text: '中'.repeat(1_400) } });
    expect(error).toMatchObject({ code: 'message_too_large', status: 413 });
    expect(error.message).toContain('at most 4096');
  });

  test('leaves the next one unaffected and is reported once', async () => {
    await refusal('{"type":"info"');
    await publish(base);
    expect(drafts).toHaveLength(1);
    expect(failures).toHaveLength(1);
  });
});

describe('a batch', () => {
  test('stores its messages in order and answers for each', async () => {
    const answer = await publish(
      [1, 2, 3].map((n) => ({ ...base, id: `m${n}` })),
      'batch',
    );
    expect(answer).toMatchObject({ success: true, total_messages: 3, successful_count: 3, failed_count: 0 });
    expect(answer.results?.map((r) => r.message_id)).toEqual(['m1', 'm2', 'm3']);
    expect(drafts.map((draft) => draft.message.id)).toEqual(['m1', 'm2', 'm3']);
  });

  test('hands all of its messages to the engine within one turn', async () => {
    const order: string[] = [];
    refuse = (draft) => {
      order.push(draft.message.id);
      queueMicrotask(() => order.push('next turn'));
      return undefined;
    };
    await publish(
      [
        { ...base, id: 'a' },
        { ...base, id: 'b' },
      ],
      'batch',
    );
    expect(order.slice(0, 2)).toEqual(['a', 'b']);
  });

  test('stores the good ones beside bad ones, which are named by their place', async () => {
    refuse = (draft) => (draft.message.id === 'c' ? new RequestError('id_conflict', 'taken') : undefined);
    const deep = JSON.parse('['.repeat(20) + ']'.repeat(20));
    const items = [
      { ...base, id: 'a' },
      { ...base, type: 'x' },
      5,
      { ...base, id: 'c' },
      { ...base, data: { deep } },
    ];
    const answer = await publish(items, 'batch');
    expect(answer).toMatchObject({ success: false, total_messages: 5, successful_count: 1, failed_count: 4 });
    expect(answer.results).toMatchObject([
      { success: true, message_id: 'a' },
      { success: false, code: 'validation_failed', details: [{ field: '[1].type' }] },
      { success: false, error: '[2] must be a JSON object' },
      { success: false, error: 'taken', code: 'id_conflict' },
      { success: false, details: [{ field: expect.stringMatching(/^\[4\]\.data\.deep\[0\]/) }] },
    ]);
    expect(failures).toHaveLength(4);
  });

  test('limits each message like a single one', async () => {
    const answer = await publish([base, { ...base, data: { text: 'x'.repeat(5_000) } }], 'batch');
    expect(answer.results).toMatchObject([{ success: true }, { code: 'message_too_large' }]);
  });

  test.each([
    ['no array', { messages: [] }, 'must be a JSON array'],
    ['an empty one', [], 'must have 1 to 5 messages'],
    ['too many', Array.from({ length: 6 }, () => base), 'must have 1 to 5 messages'],
  ])('is refused as a whole when it is %s', async (_, body, problem) => {
    const fields = await refusedFields(body, 'batch');
    expect(fields).toEqual({ body: expect.stringContaining(problem) });
  });

  test('is refused as a whole when the engine can take none of it', async () => {
    refuse = () => new RequestError('engine_unavailable', 'down', { retryAfterSeconds: 2 });
    expect(await refusal([base, base], 'batch')).toMatchObject({ code: 'engine_unavailable' });
  });

  test('names the message that is nested too deeply when numbers have to be read exactly', async () => {
    const deep = `{"a":${'['.repeat(9_000)}${']'.repeat(9_000)}}`;
    const fields = await refusedFields(`[{"data":{"n":1e400}},{"data":${deep}}]`, 'batch');
    expect(Object.keys(fields)[0]).toMatch(/^\[1\]\.data\.a/);
  });

  test('does not tell a publisher about a fault of ours', async () => {
    const fault = new Error('secret path');
    refuse = () => fault;
    const answer = await publish([base], 'batch');
    expect(answer.results).toEqual([
      { success: false, error: 'an internal error occurred', code: 'internal_error' },
    ]);
    expect(failures).toEqual([fault]);
  });
});

test('any data that is JSON arrives as it was', async () => {
  await fc.assert(
    fc.asyncProperty(fc.jsonValue({ maxDepth: 3 }), async (value) => {
      drafts = [];
      const text = JSON.stringify(value);
      fc.pre(!text.includes('__proto__') && text.length < 3_000 && !/\\ud[89a-f]/i.test(text));
      await publish(`{"type":"info","service":"s","target":{"user_id":"1"},"data":{"value":${text}}}`);
      expect(published().text).toContain(`"data":{"value":${text}}`);
    }),
  );
});

describe('tracing', () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  let carried: { traceparent: string } | undefined;
  const ended: unknown[][] = [];
  const traced = new Publisher({
    ...options,
    tracer: {
      startPublish: () => ({
        carry: () => carried,
        startStore: () => undefined,
        end: (...how) => ended.push(how),
      }),
    },
  });
  const publish = (body: object) => traced.handle({ kind: 'send', body: Buffer.from(JSON.stringify(body)) });

  test('puts the trace where every node finds it, and no part of it into the fingerprint', async () => {
    const body = { ...base, id: 'a', metadata: { traceparent: 'malformed', note: 1 } };
    carried = undefined;
    await publish(body);
    carried = { traceparent };
    await publish(body);
    await publisher.handle({
      kind: 'send',
      body: Buffer.from(JSON.stringify({ ...body, metadata: { note: 1 } })),
    });
    const [untraced, withTrace, without] = drafts;
    expect(JSON.parse(Buffer.from(untraced?.message.json ?? []).toString()).metadata).toEqual({
      priority: 'normal',
      ttl: 3600,
      traceparent: 'malformed',
      note: 1,
    });
    expect(carriedTraceparent(withTrace?.message.json ?? Buffer.alloc(0))?.spanId).toBe('b7ad6b7169203331');
    expect(withTrace?.fingerprint).toBe(without?.fingerprint);
    expect(untraced?.fingerprint).toBe(without?.fingerprint);
  });

  test('ends also for what is refused', async () => {
    ended.length = 0;
    await expect(publish({ ...base, type: 'x' })).rejects.toThrow();
    expect(ended).toEqual([[1, expect.objectContaining({ code: 'validation_failed' })]]);
  });
});
