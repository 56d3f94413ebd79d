import type { OutgoingHttpHeaders } from 'node:http';
import { connect } from 'node:net';
import { pino } from 'pino';
import { beforeEach, describe, expect, test } from 'vitest';
import { RequestError } from '../../core/errors.ts';
import { type ApiFixture, createTestApi, NOW, outage } from './api-fixture.ts';
import type { ApiOptions } from './api-options.ts';

let fixture: ApiFixture;

beforeEach(() => {
  fixture = createTestApi();
});

interface Json {
  message?: string;
  details?: unknown;
  connections?: unknown[];
  channels?: unknown[];
}

interface Answer {
  status: number;
  headers: OutgoingHttpHeaders;
  json: Json;
}

async function call(
  method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'OPTIONS' | 'HEAD',
  url: string,
  options: { headers?: Record<string, string>; payload?: string | Buffer | object } = {},
): Promise<Answer & { text: string }> {
  const { statusCode, headers, body } = await fixture.api.inject({ method, url, ...options });
  const isJson = String(headers['content-type']).startsWith('application/json');
  return { status: statusCode, headers, json: isJson && body !== '' ? JSON.parse(body) : {}, text: body };
}

const get = (url: string) => call('GET', url);
const send = (payload: object, url = '/sse/api/v1/messages/send') => call('POST', url, { payload });
const message = { type: 'info', service: 's', target: { user_id: '7' }, data: { n: 1 } };

function expectError(answer: Answer, status: number, code: string, path: string): void {
  expect(answer.json).toMatchObject({ error: true, status_code: status, code, service: 'push', path });
  expect(answer.json.message).toEqual(expect.any(String));
  expect(answer.status).toBe(status);
}

describe('publishing', () => {
  test('send stores a message and answers with its id and how many streams it reaches', async () => {
    fixture.directory.add('c1', ['user:7', 'broadcast']);
    const answer = await send({ ...message, id: 'm1' });
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe('application/json; charset=utf-8');
    expect(answer.json).toMatchObject({ success: true, message_id: 'm1', sent_to_connections: 1 });
    expect(fixture.engine.logs.get('user:7')).toHaveLength(1);
  });

  test('broadcast and batch have paths of their own', async () => {
    const { target: _, ...body } = message;
    expect((await send(body, '/sse/api/v1/messages/broadcast')).json).toMatchObject({ success: true });
    const batch = await send([message, { ...message, type: 'x' }], '/sse/api/v1/messages/batch');
    expect(batch).toMatchObject({ status: 200, json: { successful_count: 1, failed_count: 1 } });
  });

  test.each([
    'application/json',
    'application/json; charset=utf-8',
    'Application/JSON;charset="UTF-8"',
    undefined,
  ])('a body labelled %s is taken for JSON', async (type) => {
    const headers = type === undefined ? {} : { 'content-type': type };
    const payload = Buffer.from(JSON.stringify(message));
    expect(await call('POST', '/sse/api/v1/messages/send', { headers, payload })).toMatchObject({
      status: 200,
    });
  });

  test.each([
    ['application/x-www-form-urlencoded', {}, 'Content-Type: application/json'],
    ['text/plain', {}, 'Content-Type: application/json'],
    ['application/json; charset=gbk', {}, 'UTF-8'],
    ['application/json', { 'content-encoding': 'gzip' }, 'Content-Encoding'],
    [';;', {}, 'Content-Type'],
  ])('a body labelled %s is 415 with a hint', async (type, more, hint) => {
    const headers = { 'content-type': type, ...more };
    const payload = JSON.stringify(message);
    const answer = await call('POST', '/sse/api/v1/messages/send', { headers, payload });
    expectError(answer, 415, 'unsupported_media_type', '/sse/api/v1/messages/send');
    expect(answer.json.message).toContain(hint);
  });

  test('no body and a broken one are 400', async () => {
    const url = '/sse/api/v1/messages/send';
    expectError(await call('POST', url), 400, 'malformed_json', url);
    const headers = { 'content-type': 'application/json' };
    expectError(await call('POST', url, { headers, payload: '{"a":' }), 400, 'malformed_json', url);
  });

  test('a body that does not fit is 422 with every field', async () => {
    const answer = await send({ ...message, type: 'x', ttl: 'y' });
    expectError(answer, 422, 'validation_failed', '/sse/api/v1/messages/send');
    expect(answer.json.details).toMatchObject([
      { field: 'type', value: 'x' },
      { field: 'ttl', value: 'y' },
    ]);
  });

  test('a body above the limit is 413, and a batch has a limit of its own', async () => {
    const big = { ...message, data: { text: 'x'.repeat(10_000) } };
    expectError(await send(big), 413, 'message_too_large', '/sse/api/v1/messages/send');
    const many = Array.from({ length: 4 }, () => ({ ...message, data: { text: 'x'.repeat(9_000) } }));
    expect(await send(many, '/sse/api/v1/messages/batch')).toMatchObject({ status: 200 });
    const tooMany = [...many, ...many];
    expect(await send(tooMany, '/sse/api/v1/messages/batch')).toMatchObject({ status: 413 });
    expect(await send(message)).toMatchObject({ status: 200 });
  });

  test('an engine that is away is 503 with Retry-After, for single messages and whole batches', async () => {
    fixture.engine.failure = outage;
    for (const [url, body] of [
      ['/sse/api/v1/messages/send', message],
      ['/sse/api/v1/messages/batch', [message]],
    ] as const) {
      const answer = await send(body, url);
      expectError(answer, 503, 'engine_unavailable', url);
      expect(answer.headers['retry-after']).toBe('3');
    }
  });

  test('a level of acknowledgement is taken from the query, in words that name what is wrong with it', async () => {
    const url = '/sse/api/v1/messages/send';
    for (const query of ['', '?ack=', '?ack=stored', '?other=1'])
      expect((await send(message, url + query)).json).toMatchObject({ success: true, ack: 'stored' });
    for (const [query, value, problem] of [
      ['?ack=safe', 'safe', 'must be one of stored, replicated'],
      ['?ack=stored&ack=replicated', 'stored,replicated', 'must be one of stored, replicated'],
      ['?ack=replicated', 'replicated', 'must be stored: replicated needs MESSAGE_QUEUE_TYPE=redis'],
    ] as const) {
      const answer = await send(message, url + query);
      expectError(answer, 422, 'validation_failed', url);
      expect(answer.json.details).toEqual([{ field: 'query.ack', problem, value }]);
    }
    const batch = await send([message], '/sse/api/v1/messages/batch?ack=replicated');
    expectError(batch, 422, 'validation_failed', '/sse/api/v1/messages/batch');
  });

  test('a message that too few replicas confirmed is 503 and may be sent again', async () => {
    const details = { retryAfterSeconds: 2 };
    fixture.engine.failure = new RequestError('not_replicated', 'stored, but not replicated', details);
    const answer = await send(message);
    expectError(answer, 503, 'not_replicated', '/sse/api/v1/messages/send');
    expect(answer.headers['retry-after']).toBe('2');
    expect(await send([message], '/sse/api/v1/messages/batch')).toMatchObject({ status: 503 });
  });

  test('the same id with another body is 409', async () => {
    fixture.engine.failure = new RequestError('id_conflict', 'taken');
    expectError(await send(message), 409, 'id_conflict', '/sse/api/v1/messages/send');
  });

  test('a fault of ours is 500 and says nothing about itself', async () => {
    fixture.engine.failure = new Error('secret');
    const answer = await send(message);
    expectError(answer, 500, 'internal_error', '/sse/api/v1/messages/send');
    expect(answer.text).not.toContain('secret');
  });
});

describe('connections', () => {
  beforeEach(() => {
    fixture.directory.add('c1', ['user:7'], '7');
    fixture.directory.add('c2', ['user:7', 'channel:a/b'], '7');
    fixture.directory.add('c3', ['user:8', 'user:中 文'], '8');
  });

  test('are listed, all or of one user, at most as many as asked', async () => {
    const all = await get('/sse/api/v1/connections');
    expect(all.json).toMatchObject({ success: true, total_connections: 3 });
    expect(all.json.connections?.[0]).toEqual({
      connection_id: 'c1',
      user_id: '7',
      session_id: null,
      channels: ['user:7'],
      connected_at: '2026-01-02T03:03:05.678Z',
      last_heartbeat: '2026-01-02T03:04:04.678Z',
      client_ip: '10.0.0.7',
      queue_size: 2,
      unsent_bytes: 300,
      state: 'live',
    });
    const some = await get('/sse/api/v1/connections?user_id=7&limit=1&unknown=1');
    expect(some.json).toMatchObject({ total_connections: 2, connections: [{ connection_id: 'c1' }] });
    expect((await get('/sse/api/v1/connections?user_id=&limit=')).json).toMatchObject({
      total_connections: 3,
    });
  });

  test.each([
    ['limit=0', 'query.limit', 'must be at least 1', 0],
    ['limit=1001', 'query.limit', 'must be at most 1000', 1001],
    ['limit=x', 'query.limit', 'must be an integer', 'x'],
    ['limit=1&limit=2', 'query.limit', 'must be an integer', 'array of 2'],
    ['user_id=a%0Ab', 'query.user_id', 'must not contain control characters', 'a\nb'],
  ])('with ?%s are refused by field, value and what is allowed', async (query, field, problem, value) => {
    const answer = await get(`/sse/api/v1/connections?${query}`);
    expectError(answer, 422, 'validation_failed', '/sse/api/v1/connections');
    const details = [{ field, value, problem: expect.stringContaining(problem) }];
    expect(answer.json.details).toEqual(details);
  });

  test('have stats', async () => {
    expect((await get('/sse/api/v1/connections/stats')).json).toEqual({
      success: true,
      stats: {
        total_connections: 3,
        active_connections: 3,
        messages_sent: 100,
        messages_failed: 1,
        connections_created: 9,
        connections_closed: 7,
        total_channels: 4,
        connections_by_user: { '7': 2 },
        uptime_seconds: 5,
        average_queue_size: 2,
      },
      nodes: { answered: 1, known: 1 },
      complete: true,
    });
  });

  test('are closed by DELETE, once', async () => {
    expect(await call('DELETE', '/sse/api/v1/connections/c1')).toMatchObject({
      status: 200,
      json: { success: true, message: 'connection "c1" was closed' },
    });
    const url = '/sse/api/v1/connections/c1';
    expectError(await call('DELETE', url), 404, 'connection_not_found', url);
  });

  test('are listed by channel, whose name may be anything percent-encoded', async () => {
    const answer = await get('/sse/api/v1/channels/channel%3Aa%2Fb/connections');
    expect(answer.json).toMatchObject({ channel: 'channel:a/b', connection_count: 1 });
    const unicode = await get(`/sse/api/v1/channels/${encodeURIComponent('user:中 文')}/connections`);
    expect(unicode.json).toMatchObject({ channel: 'user:中 文', connections: [{ connection_id: 'c3' }] });
    const bare = await get('/sse/api/v1/channels/a%2Fb/connections');
    expect(bare.json).toMatchObject({ channel: 'channel:a/b', connection_count: 1 });
  });

  test('tell who is present on a channel', async () => {
    fixture.directory.add('c4', ['user:7']);
    expect((await get('/sse/api/v1/channels/user:7/presence')).json).toEqual({
      success: true,
      channel: 'user:7',
      user_count: 2,
      connection_count: 3,
      users: [
        { user_id: '7', connections: 1, since: '2026-01-02T03:03:05.678Z' },
        { user_id: '7', connections: 1, since: '2026-01-02T03:03:05.678Z' },
        { user_id: null, connections: 1, since: '2026-01-02T03:03:05.678Z' },
      ],
      nodes: { answered: 1, known: 1 },
      complete: true,
    });
  });

  const views = [
    '/sse/api/v1/connections',
    '/sse/api/v1/connections/stats',
    '/sse/api/v1/channels/user:7/connections',
    '/sse/api/v1/channels/user:7/presence',
    '/sse/api/v1/channels',
  ];

  test.each(views)('%s say how many nodes they are of, unless one node is asked for', async (url) => {
    expect((await get(`${url}?scope=cluster`)).json).toMatchObject({ nodes: { answered: 1, known: 1 } });
    const own = await get(`${url}?scope=node`);
    expect(own.status).toBe(200);
    expect(own.json).not.toHaveProperty('nodes');
    expect(own.json).not.toHaveProperty('complete');
  });

  test.each([...views, '/sse/api/v1/connections/c1'])('%s refuse an unknown scope', async (url) => {
    const answer = await call(url.endsWith('c1') ? 'DELETE' : 'GET', `${url}?scope=all`);
    expectError(answer, 422, 'validation_failed', url);
    const problem = expect.stringContaining('must be one of node, cluster');
    expect(answer.json.details).toEqual([{ field: 'query.scope', problem, value: 'all' }]);
  });

  test.each([
    [{ answered: 2, known: 3 }, false],
    [{ answered: 3, known: 3 }, true],
  ])('are not complete when a node is silent or had more to say', async (nodes, isCut) => {
    const { directory } = fixture;
    const view = directory.totals();
    fixture = createTestApi({
      directory: {
        liveNodes: nodes.known,
        totals: async () => ({ view, nodes, isCut }),
        presence: async () => ({ view: [], nodes, isCut }),
        connections: async () => ({ view: { total: 0, connections: [] }, nodes, isCut }),
        joinedChannels: async () => ({ view: new Map(), nodes, isCut }),
        find: async () => undefined,
        renew: async () => 'not_found',
        kick: async () => {
          throw outage;
        },
      },
    });
    expect((await get('/sse/api/v1/connections/stats')).json).toMatchObject({ nodes, complete: false });
    expect((await get('/sse/api/v1/channels/a/presence')).json).toMatchObject({ nodes, complete: false });
    expect((await get('/sse/api/v1/connections')).json).toMatchObject({ nodes });
    expect((await get('/sse/health')).json).toMatchObject({ message_queue: { nodes: nodes.known } });
    const url = '/sse/api/v1/connections/c1';
    expectError(await call('DELETE', url), 503, 'engine_unavailable', url);
  });
});

describe('channels', () => {
  test('are listed from history and from streams, in pages', async () => {
    for (const user_id of ['2', '4']) await send({ ...message, target: { user_id } });
    fixture.directory.add('c1', ['user:1', 'user:2', 'user:3', 'connection:c1']);
    const first = await get('/sse/api/v1/channels?prefix=user:&limit=3');
    expect(first.json).toMatchObject({
      success: true,
      channels: [
        { channel: 'user:1', connection_count: 1, messages: 0, epoch: null, last_published_at: null },
        {
          channel: 'user:2',
          connection_count: 1,
          messages: 1,
          last_published_at: new Date(NOW).toISOString(),
        },
        { channel: 'user:3' },
      ],
      has_more: true,
      next: 'user:3',
    });
    const second = await get('/sse/api/v1/channels?prefix=user:&limit=3&after=user:3');
    expect(second.json).toMatchObject({ channels: [{ channel: 'user:4' }], has_more: false, next: null });
    const all = await get('/sse/api/v1/channels');
    expect(all.json.channels?.length).toBe(4);
  });

  test('have a history, read forwards and backwards in pages', async () => {
    for (let n = 1; n <= 5; n++) await send({ ...message, id: `m${n}` });
    fixture.engine.floor = 1;
    const url = '/sse/api/v1/channels/user:7/history';
    const forwards = await get(`${url}?limit=2`);
    expect(forwards.json).toMatchObject({
      success: true,
      channel: 'user:7',
      epoch: 'e1',
      first_offset: 2,
      last_offset: 5,
      floor: 1,
      messages: [
        {
          offset: 2,
          timestamp: '2026-01-02T03:04:05.678Z',
          message: { id: 'm2', type: 'info', data: { n: 1 } },
        },
        { offset: 3, message: { id: 'm3' } },
      ],
      has_more: true,
      next: 4,
    });
    expect((await get(`${url}?from=4&limit=2`)).json).toMatchObject({ has_more: false, next: null });
    const backwards = await get(`${url}?reverse=true&to=4&limit=2`);
    expect(backwards.json).toMatchObject({
      messages: [{ offset: 4 }, { offset: 3 }],
      has_more: true,
      next: 2,
    });
    expect((await get(`${url}?reverse=true&to=2`)).json).toMatchObject({
      messages: [{ offset: 2 }],
      next: null,
    });
  });

  test('never published to have an empty history', async () => {
    expect((await get('/sse/api/v1/channels/user:9/history')).json).toMatchObject({
      first_offset: null,
      last_offset: 0,
      messages: [],
      has_more: false,
    });
  });

  test.each([
    ['/sse/api/v1/channels/kb:/history', 'path.channel'],
    ['/sse/api/v1/channels/user:a%00b/history', 'path.channel'],
    [`/sse/api/v1/channels/user:${'%E4%B8%AD'.repeat(100)}/presence`, 'path.channel'],
    [`/sse/api/v1/channels/user:${'x'.repeat(300)}/connections`, 'path.channel'],
    ['/sse/api/v1/channels/connection:c1/history', 'path.channel'],
    ['/sse/api/v1/channels/user:7/history?from=5&to=4', 'query.from'],
    ['/sse/api/v1/channels/user:7/history?from=-1', 'query.from'],
    ['/sse/api/v1/channels/user:7/history?reverse=perhaps', 'query.reverse'],
    ['/sse/api/v1/channels?prefix=%0D', 'query.prefix'],
  ])('refuse %s by naming %s', async (url, field) => {
    const answer = await get(url);
    expectError(answer, 422, 'validation_failed', url.split('?')[0] as string);
    expect(answer.json.details).toMatchObject([{ field }]);
  });

  test('answer 503 when the engine cannot read', async () => {
    fixture.engine.failure = outage;
    const url = '/sse/api/v1/channels/user:7/history';
    expectError(await get(url), 503, 'engine_unavailable', url);
  });
});

describe('health', () => {
  test('says how the service and its parts are', async () => {
    fixture.directory.add('c1', ['user:7']);
    expect(await get('/sse/health')).toMatchObject({
      status: 200,
      json: {
        status: 'healthy',
        service: 'push',
        version: '1.2.3',
        timestamp: '2026-01-02T03:04:05.678Z',
        connection_manager: { status: 'healthy', active_connections: 1, total_channels: 1 },
        message_queue: { status: 'healthy', type: 'embedded', reason: null, history_bytes: 7 },
      },
    });
  });

  test('is 200 when degraded and 503 when unhealthy, with the reason', async () => {
    fixture.engine.state = { status: 'degraded', reason: 'the disk is full', details: {} };
    expect(await get('/sse/health')).toMatchObject({ status: 200, json: { status: 'degraded' } });
    fixture.engine.state = { status: 'unhealthy', reason: 'no store', details: {} };
    expect(await get('/sse/health')).toMatchObject({
      status: 503,
      json: { status: 'unhealthy', message_queue: { reason: 'no store' } },
    });
  });

  test.each<[string, Partial<ApiOptions>, string]>([
    ['starting', { isReady: () => false }, 'starting'],
    ['draining', { isDraining: () => true }, 'draining'],
  ])('is alive but not ready while %s', async (_, options, reason) => {
    fixture = createTestApi(options);
    expect(await get('/sse/health/live')).toMatchObject({ status: 200, json: { status: 'alive' } });
    expect(await get('/sse/health/ready')).toMatchObject({
      status: 503,
      json: { status: 'not_ready', reason },
      headers: { 'retry-after': '1' },
    });
    expect(await get('/sse/health')).toMatchObject({ status: 200, json: { status: 'degraded' } });
  });

  test('is ready otherwise', async () => {
    expect(await get('/sse/health/ready')).toMatchObject({ status: 200, json: { status: 'ready' } });
  });

  test('a publish during a drain is stored, and its connection closes', async () => {
    fixture = createTestApi({ isDraining: () => true });
    expect(await send(message)).toMatchObject({ status: 200, headers: { connection: 'close' } });
  });
});

describe('the root and the documentation', () => {
  test('the root says what runs here', async () => {
    expect((await get('/')).json).toMatchObject({
      service: 'push',
      version: '1.2.3',
      status: 'running',
      port: 8089,
      docs_url: '/docs',
      features: expect.any(Array),
      endpoints: { send: '/sse/api/v1/messages/send' },
    });
  });

  test('/docs and what it loads come from here and may run', async () => {
    const page = await get('/docs');
    expect(page).toMatchObject({ status: 200, headers: { 'content-type': 'text/html; charset=utf-8' } });
    expect(page.headers['content-security-policy']).toContain("script-src 'self'");
    const files = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1] as string);
    expect(files.length).toBeGreaterThan(3);
    for (const file of files) {
      expect(file).toMatch(/^\/docs\//);
      expect((await get(file)).status).toBe(200);
    }
    expect((await get('/docs/json')).json).toMatchObject({ openapi: '3.1.0' });
  });

  test('/redoc is a page without scripts', async () => {
    const page = await get('/redoc');
    expect(page).toMatchObject({ status: 200, headers: { 'content-type': 'text/html; charset=utf-8' } });
    expect(page.text).not.toContain('<script');
    expect(page.text).toContain('/sse/api/v1/channels/{channel}/history');
  });

  test('are not there when they are switched off', async () => {
    fixture = createTestApi({ enableDocs: false });
    for (const url of ['/docs', '/redoc', '/openapi.json', '/docs/json']) {
      expectError(await get(url), 404, 'not_found', url);
    }
    expect((await get('/')).json).toMatchObject({ docs_url: null });
  });
});

describe('every answer', () => {
  test('has a request id: the one that was sent when it is sane, else a new one', async () => {
    const idOf = async (id: string) =>
      (await call('GET', '/', { headers: { 'x-request-id': id } })).headers['x-request-id'];
    expect(await idOf('abc-123')).toBe('abc-123');
    expect(await idOf('a/b:c_d.e')).toBe('a/b:c_d.e');
    for (const bad of ['a b', 'x'.repeat(129), 'a"b', '']) expect(await idOf(bad)).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('cannot be taken for something else by a browser', async () => {
    for (const url of ['/', '/nowhere', '/%zz']) {
      expect((await get(url)).headers).toMatchObject({
        'x-content-type-options': 'nosniff',
        'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
        'cache-control': 'no-store',
        'x-request-id': expect.any(String),
      });
    }
  });

  test('may be read by allowed origins only, errors too', async () => {
    const headersFor = async (origin: string, url = '/') =>
      (await call('GET', url, { headers: { origin } })).headers;
    for (const url of ['/', '/nowhere', '/%zz']) {
      expect(await headersFor('https://app.example', url)).toMatchObject({
        'access-control-allow-origin': 'https://app.example',
        'access-control-allow-credentials': 'true',
        vary: 'Origin',
      });
    }
    const other = await headersFor('https://evil.example');
    expect(other).not.toHaveProperty('access-control-allow-origin');
    expect(other).toMatchObject({ vary: 'Origin' });
  });

  test('to a preflight allows methods and headers, and may be kept', async () => {
    const headers = {
      origin: 'https://app.example',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type,x-own',
    };
    expect(await call('OPTIONS', '/sse/api/v1/messages/send', { headers })).toMatchObject({
      status: 204,
      headers: {
        'access-control-allow-origin': 'https://app.example',
        'access-control-allow-headers': 'content-type,x-own',
        'access-control-allow-methods': expect.stringContaining('DELETE'),
        'access-control-max-age': '3600',
      },
    });
  });

  test('is observed with the pattern of its route', async () => {
    const seen: unknown[] = [];
    fixture = createTestApi({
      counterOf: (method, route) => ({ record: (status) => seen.push([method, route, status]) }),
    });
    await get('/sse/api/v1/channels/user:7/presence');
    await get('/nowhere');
    expect(seen).toEqual([
      ['GET', '/sse/api/v1/channels/:channel/presence', 200],
      ['GET', 'unknown', 404],
    ]);
  });
});

describe('the log', () => {
  async function logOf(action: () => Promise<unknown>): Promise<Record<string, unknown>[]> {
    const lines: string[] = [];
    const logger = pino({ level: 'debug' }, { write: (line: string) => lines.push(line) });
    fixture = createTestApi({ logger, log: logger });
    await action();
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  test('has a fault of ours with its cause and the id of its request', async () => {
    const headers = { 'x-request-id': 'r-1', 'content-type': 'application/json' };
    const lines = await logOf(() => {
      fixture.engine.failure = new Error('secret');
      return call('POST', '/sse/api/v1/messages/send', { headers, payload: message });
    });
    expect(lines).toContainEqual(
      expect.objectContaining({
        level: 50,
        requestId: 'r-1',
        err: expect.objectContaining({ message: 'secret' }),
      }),
    );
  });

  test('has no query of a URL, which may hold credentials', async () => {
    const lines = await logOf(() => call('GET', '/sse/api/v1/connections?limit=x&api_key=secret'));
    expect(lines).toMatchObject([{ path: '/sse/api/v1/connections', status: 422, method: 'GET' }]);
    expect(JSON.stringify(lines)).not.toContain('secret');
  });
});

describe('what is not there', () => {
  test('is 404 with the path and without the query', async () => {
    expectError(await get('/sse/nowhere?token=secret'), 404, 'not_found', '/sse/nowhere');
    expectError(await call('POST', '/x', { payload: 'x'.repeat(100_000) }), 404, 'not_found', '/x');
  });

  test.each([
    ['PUT', '/sse/health', 'GET, HEAD, OPTIONS'],
    ['DELETE', '/sse/api/v1/messages/send', 'POST, OPTIONS'],
    ['GET', '/sse/api/v1/messages/send', 'POST, OPTIONS'],
    ['POST', '/sse/api/v1/connections/c1', 'DELETE, OPTIONS'],
    ['POST', '/sse/user/7', 'GET, OPTIONS'],
  ] as const)('is 405 with Allow when it is the method: %s %s', async (method, url, allow) => {
    const answer = await call(method, url);
    expectError(answer, 405, 'method_not_allowed', url);
    expect(answer.headers.allow).toBe(allow);
  });

  test('OPTIONS without a preflight tells the methods', async () => {
    const answer = await call('OPTIONS', '/sse/health');
    expect(answer).toMatchObject({ status: 204, headers: { allow: 'GET, HEAD, OPTIONS' } });
  });

  test('a malformed percent-encoding is 400', async () => {
    expectError(
      await get('/sse/api/v1/channels/%E0%A4%A/history'),
      400,
      'malformed_request',
      '/sse/api/v1/channels/%E0%A4%A/history',
    );
  });
});

test('a stream that reaches the API is handed to its opener as it came', async () => {
  for (const url of [
    '/sse/user/7?channels=a,b',
    '/sse/stream',
    '/sse/service/s',
    '/sse/task/t?event_mode=x',
  ]) {
    expect((await get(url)).text).toBe(`stream ${url}`);
  }
});

describe('on a real socket', () => {
  async function talk(request: string): Promise<string> {
    const address = await fixture.api.listen({ port: 0, host: '127.0.0.1' });
    const socket = connect(Number(new URL(address).port), '127.0.0.1');
    socket.end(request);
    let text = '';
    for await (const chunk of socket) text += chunk;
    await fixture.api.close();
    return text;
  }

  test('a head that is too large is 431 in the shape of every error', async () => {
    const text = await talk(`GET / HTTP/1.1\r\nHost: a\r\nX-Long: ${'x'.repeat(9_000)}\r\n\r\n`);
    expect(text).toMatch(/^HTTP\/1\.1 431 Request Header Fields Too Large\r\n/);
    const body = JSON.parse(text.slice(text.indexOf('\r\n\r\n') + 4));
    expect(body).toMatchObject({ error: true, status_code: 431, code: 'headers_too_large', path: null });
  });

  test('what is no HTTP is 400 in the shape of every error', async () => {
    const text = await talk('HELLO\r\n\r\n');
    expect(text).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(text).toContain('"code":"malformed_request"');
    expect(text).toContain('connection: close\r\n');
  });

  test('a body that is shorter than it said does not hang or crash', async () => {
    const head = 'POST /sse/api/v1/messages/send HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n';
    await talk(`${head}Content-Length: 100\r\n\r\n{}`);
    fixture = createTestApi();
    expect(await send(message)).toMatchObject({ status: 200 });
  });
});
