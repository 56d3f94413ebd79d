/**
 * An answer does not depend on the lane: the same request, written so that each lane takes it, gets the same status,
 * headers and body, and leaves the same lines in the log.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { RequestError } from '../core/errors.ts';
import { outage } from '../http/api/api-fixture.ts';
import { LANES, type Lane, type LaneRequest, type Lanes, startLanes } from './lanes-fixture.ts';

const SEND = '/sse/api/v1/messages/send';
const BATCH = '/sse/api/v1/messages/batch';
const GOOD = { id: 'm1', type: 'info', service: 's', target: { user_id: '7' }, data: { text: '好' } };
const JSON_TYPE = { 'content-type': 'application/json' };
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const HTTP_DATE = /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/;
/** Headers about the connection, which HTTP/2 does not have ([spec] RFC 9113, 8.2.2). */
const CONNECTION_HEADERS = ['connection', 'keep-alive', 'transfer-encoding'];

const post = (body: unknown, headers: Record<string, string> = {}, path = SEND): LaneRequest => ({
  path,
  headers: { ...JSON_TYPE, ...headers },
  body: typeof body === 'string' ? body : JSON.stringify(body),
});

interface Outcome {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: unknown;
  readonly wasContinued: boolean;
  readonly lines: unknown[];
}

let lanes: Lanes;

/** What a client and an operator see of a request, without what differs between any two requests. */
async function outcomeOf(lane: Lane, request: LaneRequest): Promise<Outcome> {
  lanes.takeLines();
  const { status, headers, body, wasContinued } = await lanes.ask(lane, request);
  const { date, 'x-request-id': requestId = '', ...same } = headers;
  expect(date).toMatch(HTTP_DATE);
  if (lane === 'http2') for (const name of CONNECTION_HEADERS) expect(same).not.toHaveProperty(name);
  const given = request.headers?.['x-request-id'];
  if (requestId !== given) expect(requestId).toMatch(UUID);
  const lines: Record<string, unknown>[] = [];
  await vi.waitFor(() => {
    // Connections that an earlier test has cut may still leave a line.
    lines.push(
      ...lanes.takeLines().filter((line) => line['path'] !== null || line['requestId'] === requestId),
    );
    expect(lines.map(({ msg }) => msg)).toContain('request');
  });
  return {
    status,
    headers: { ...same, 'x-request-id': requestId === given ? requestId : 'new' },
    body: body === '' ? '' : JSON.parse(body.replace(/"timestamp":"[^"]{24}"/, '"timestamp":"then"')),
    wasContinued,
    lines: lines.map((line) => sameOf(line, requestId)),
  };
}

function sameOf(
  { time: _time, pid: _pid, hostname: _hostname, ms, requestId, err, ...line }: Record<string, unknown>,
  id: string,
): unknown {
  expect(requestId).toBe(id);
  // The time is not measured if no route is reached.
  if (line['msg'] === 'request' && line['status'] !== 417) expect(ms).toEqual(expect.any(Number));
  const { type, message } = (err ?? {}) as { type?: string; message?: string };
  return { ...line, ...(err !== undefined && { err: { type, message } }) };
}

function withoutConnection({ headers, ...outcome }: Outcome): Outcome {
  const rest = Object.entries(headers).filter(([name]) => !CONNECTION_HEADERS.includes(name));
  return { ...outcome, headers: Object.fromEntries(rest) };
}

/** The outcome, which must be the same on all lanes. */
async function agreed(request: LaneRequest): Promise<Outcome> {
  const fast = await outcomeOf('fast', request);
  expect(await outcomeOf('full', request), 'full').toEqual(fast);
  expect(withoutConnection(await outcomeOf('http2', request)), 'http2').toEqual(withoutConnection(fast));
  return fast;
}

const EVERY_ANSWER = {
  'content-type': 'application/json; charset=utf-8',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cache-control': 'no-store',
  'strict-transport-security': 'max-age=3600',
  vary: 'Origin',
};

describe('where nobody is asked for a key', () => {
  beforeAll(async () => {
    lanes = await startLanes({ isOpen: true });
  });
  afterAll(() => lanes.close());
  afterEach(() => {
    lanes.engine.failure = undefined;
  });

  test('a good publish', async () => {
    const outcome = await agreed(post(GOOD));
    expect(outcome.status).toBe(200);
    expect(outcome.headers).toEqual({
      ...EVERY_ANSWER,
      'content-length': expect.any(String),
      connection: 'keep-alive',
      'keep-alive': 'timeout=75',
      'x-request-id': 'new',
    });
    expect(outcome.lines).toEqual([{ level: 20, method: 'POST', path: SEND, status: 200, msg: 'request' }]);
  });

  test.each<[string, LaneRequest, number]>([
    ['a broadcast', post({ ...GOOD, target: undefined }, {}, '/sse/api/v1/messages/broadcast'), 200],
    ['a batch of which one is refused', post([GOOD, { ...GOOD, type: 'x' }], {}, BATCH), 200],
    ['with a level of acknowledgement', post(GOOD, {}, `${SEND}?ack=stored`), 200],
    ['with a level that the engine does not have', post(GOOD, {}, `${SEND}?ack=replicated`), 422],
    ['with a level that is none', post(GOOD, {}, `${SEND}?ack=safe`), 422],
    ['with a query that means nothing', post(GOOD, {}, `${SEND}?api_key=secret`), 200],
    ['with a request id', post(GOOD, { 'x-request-id': 'gw/1.2_3:4-5' }), 200],
    ['with a request id that is too long', post(GOOD, { 'x-request-id': 'x'.repeat(129) }), 200],
    ['with a request id of odd characters', post(GOOD, { 'x-request-id': 'a"b c' }), 200],
    ['with an empty request id', post(GOOD, { 'x-request-id': '' }), 200],
    [
      'with a trace',
      post(GOOD, { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, tracestate: 'a=1' }),
      200,
    ],
    ['that expects to be told to go on', post(GOOD, { expect: '100-continue' }), 200],
    ['that expects something else', post(GOOD, { expect: 'miracles' }), 417],
    ['without a label', { ...post(GOOD), headers: {} }, 200],
    ['with a charset', post(GOOD, { 'content-type': 'Application/JSON; charset="UTF-8"' }), 200],
    ['labelled as a form', post(GOOD, { 'content-type': 'application/x-www-form-urlencoded' }), 415],
    ['in another charset', post(GOOD, { 'content-type': 'application/json; charset=gbk' }), 415],
    ['that is compressed', post(GOOD, { 'content-encoding': 'gzip' }), 415],
    ['without a body', post(''), 400],
    ['that is no JSON', post('{"type":'), 400],
    ['that does not fit', post({ ...GOOD, type: 'x', ttl: 'y' }), 422],
    ['of an allowed page', post(GOOD, { origin: 'https://app.example' }), 200],
    ['of another page', post(GOOD, { origin: 'https://evil.example' }), 200],
    ['to a path that is not there', post(GOOD, {}, `${SEND}ing`), 404],
    ['to a path that cannot be decoded', post(GOOD, {}, `${SEND}%`), 400],
    [
      'to a path with a part that is too long',
      post(GOOD, {}, `/sse/api/v1/connections/${'x'.repeat(5000)}/renew`),
      400,
    ],
  ])('a publish %s', async (_, request, status) => {
    const outcome = await agreed(request);
    expect(outcome.status).toBe(status);
    expect(outcome.headers).toMatchObject(EVERY_ANSWER);
    expect(outcome.wasContinued).toBe(request.headers?.['expect'] === '100-continue');
  });

  test('a publish that is too large', async () => {
    const large = post({ ...GOOD, data: { text: 'x'.repeat(2000) } });
    const [fast, full, http2] = await Promise.all(LANES.map((lane) => lanes.ask(lane, large)));
    for (const answer of [fast, full, http2]) {
      expect(answer).toMatchObject({ status: 413, headers: EVERY_ANSWER, body: fast?.body });
    }
    expect(JSON.parse(fast?.body ?? '')).toMatchObject({ code: 'message_too_large', path: SEND });
  });

  test.each<[string, Error, number, number]>([
    ['is unreachable', outage, 503, 40],
    [
      'is overloaded',
      new RequestError('engine_overloaded', 'too many wait', { retryAfterSeconds: 2 }),
      503,
      40,
    ],
    ['has no room', new RequestError('storage_full', 'the disk is full'), 503, 40],
    ['has stored it, and replicas have not', new RequestError('not_replicated', 'not replicated'), 503, 40],
    ['has another message of that id', new RequestError('id_conflict', 'taken'), 409, 30],
    ['fails for a reason of our own', new Error('secret'), 500, 50],
    ['fails with a status of its own', Object.assign(new Error('teapot'), { statusCode: 418 }), 400, 30],
  ])('a publish whose engine %s', async (_, failure, status, level) => {
    lanes.engine.failure = failure;
    for (const request of [post(GOOD), post([GOOD], {}, BATCH)]) {
      const outcome = await agreed(request);
      if (request.path === SEND) expect(outcome.status).toBe(status);
      expect(JSON.stringify(outcome.body)).not.toContain('secret');
      const levels = outcome.lines.map((line) => (line as { level: number }).level);
      if (outcome.status >= 500) expect(levels).toEqual([level, 30]);
      else expect(levels).toEqual([outcome.status === 200 ? 20 : 30]);
    }
  });

  test('a stream that is opened', async () => {
    const stream: LaneRequest = {
      method: 'GET',
      path: '/sse/user/7',
      headers: { origin: 'https://app.example' },
    };
    const seen = await Promise.all(LANES.map((lane) => lanes.ask(lane, stream)));
    const heads = seen.map(({ status, headers: { date, connection: _, ...headers }, body }) => {
      expect(date).toMatch(HTTP_DATE);
      return { status, headers, body };
    });
    expect(heads[0]).toMatchObject({ status: 200, headers: { 'x-connection-id': 'c1', 'x-user-id': '7' } });
    expect(heads).toEqual(LANES.map(() => heads[0]));
  });

  test('a stream that nobody can open', async () => {
    const outcome = await agreed({ method: 'GET', path: '/sse/user/7?since=never', headers: {} });
    expect(outcome.status).toBe(422);
  });

  test('a request that no route sees has the headers of every answer, and a line in the log', async () => {
    for (const [text, status] of [
      ['HELLO\r\n\r\n', 400],
      [`GET / HTTP/1.1\r\nHost: h\r\nX: ${'y'.repeat(40_000)}\r\n\r\n`, 431],
    ] as const) {
      lanes.takeLines();
      const answer = await lanes.askRaw(text);
      expect(answer.startsWith(`HTTP/1.1 ${status} `)).toBe(true);
      for (const [name, value] of Object.entries(EVERY_ANSWER))
        expect(answer).toContain(`${name}: ${value}\r\n`);
      const requestId = /^x-request-id: (.*)\r$/m.exec(answer)?.[1];
      expect(lanes.takeLines()).toMatchObject([{ level: 30, requestId, path: null, status, msg: 'request' }]);
    }
  });

  test('a request whose body cannot be read is answered and logged as the request that it is', async () => {
    lanes.takeLines();
    const answer = await lanes.askRaw(
      `POST ${SEND}?a=b HTTP/1.1\r\nHost: h\r\nX-Request-ID: r1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 400 [\s\S]*x-request-id: r1\r\n/);
    expect(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')))).toMatchObject({ path: SEND });
    const lines = lanes.takeLines();
    expect(lines).toMatchObject([{ requestId: 'r1', method: 'POST', path: SEND, status: 400 }]);
  });

  test('a publish over HTTP/2 that is given up before its body has come is not logged as a good one', async () => {
    lanes.takeLines();
    await lanes.giveUp(post(GOOD, { 'x-request-id': 'gone' }));
    await lanes.ask('http2', post(GOOD, { 'x-request-id': 'next' }));
    const good: unknown[] = [];
    await vi.waitFor(() => {
      good.push(...lanes.takeLines().filter(({ status }) => status === 200));
      expect(good).toMatchObject([{ requestId: 'next' }]);
    });
  });

  test('a request while the process drains', async () => {
    lanes.metrics.service.isDraining = true;
    lanes.http.drain();
    const good = await agreed(post(GOOD));
    expect(good).toMatchObject({ status: 200, headers: { ...EVERY_ANSWER, connection: 'close' } });
    expect(await agreed(post('{'))).toMatchObject({ status: 400, headers: { connection: 'close' } });
  });
});

describe('where a key is asked for', () => {
  beforeAll(async () => {
    lanes = await startLanes({ isOpen: false });
  });
  afterAll(() => lanes.close());

  test.each<[string, LaneRequest, number]>([
    ['with a good key', post(GOOD, { 'x-api-key': 'publisher' }), 200],
    ['that does not fit', post({}, { 'x-api-key': 'publisher' }), 422],
    ['without a key', post(GOOD), 401],
    ['without a key, and no JSON', post('{', { 'content-type': 'text/plain' }), 401],
    ['with a key of another scope', post(GOOD, { 'x-api-key': 'reader' }), 403],
    ['to a channel that the key does not have', post(GOOD, { 'x-api-key': 'narrow' }), 403],
    ['over the limit', post(GOOD, { 'x-api-key': 'busy' }), 429],
    ['that cannot be asked about', post(GOOD, { 'x-api-key': 'broken' }), 500],
    ['about which asking fails at once', post(GOOD, { 'x-api-key': 'broken at once' }), 500],
  ])('a publish %s', async (_, request, status) => {
    const outcome = await agreed(request);
    expect(outcome.status).toBe(status);
    expect(outcome.headers).toMatchObject(EVERY_ANSWER);
    if (status !== 500) expect(outcome.headers).toHaveProperty('ratelimit-remaining');
  });

  test('a publish that is refused before its body has come', async () => {
    for (const key of ['reader', 'busy', 'broken']) {
      const request = { ...post(GOOD, { 'x-api-key': key }), isCutShort: true };
      const [fast, full, http2] = [
        await outcomeOf('fast', request),
        await outcomeOf('full', request),
        await outcomeOf('http2', request),
      ].map(withoutConnection);
      expect(full).toEqual(fast);
      expect(http2).toEqual(fast);
    }
  });

  test.each([
    ['without a key', {}, 401],
    ['that cannot be asked about', { 'x-api-key': 'broken' }, 500],
  ] as const)('a stream %s', async (_, headers, status) => {
    const request: LaneRequest = {
      method: 'GET',
      path: '/sse/user/7?channels=a',
      headers: { ...headers, 'x-request-id': 'r1' },
    };
    const seen: { same: object; body: string; lines: unknown[] }[] = [];
    for (const lane of LANES) {
      lanes.takeLines();
      const answer = await lanes.ask(lane, request);
      const { date, connection: _connection, 'content-length': _length, ...same } = answer.headers;
      expect(date).toMatch(HTTP_DATE);
      expect(answer.status).toBe(status);
      const lines = lanes.takeLines().filter((line) => line['path'] !== null);
      seen.push({ same, body: answer.body, lines: lines.map((line) => sameOf(line, 'r1')) });
    }
    expect(seen[0]?.same).toMatchObject({ ...EVERY_ANSWER, 'x-request-id': 'r1' });
    expect(seen[0]?.lines).toHaveLength(1);
    expect(seen).toEqual(LANES.map(() => seen[0]));
  });
});
