/** Streams over a real socket: which channels they join, where they start, how events are framed, who may read them. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { requestJson } from '../support/http/http.ts';
import { rawRequest } from '../support/http/raw-http.ts';
import { type MessageBody, TestPublisher } from '../support/messages/publisher.ts';
import { TestServer } from '../support/service/server.ts';
import { StreamClient } from '../support/streams/stream-client.ts';

let server: TestServer;
let publisher: TestPublisher;
const clients: StreamClient[] = [];
beforeAll(async () => {
  server = await TestServer.start({
    env: { HEARTBEAT_INTERVAL: '1', ALLOWED_ORIGINS: 'https://app.example' },
  });
  publisher = new TestPublisher(server.url);
});
afterAll(async () => {
  publisher.close();
  await server.dispose();
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

function open(path: string, headers: Readonly<Record<string, string>> = {}): StreamClient {
  const client = new StreamClient({ port: server.port, path, headers });
  clients.push(client);
  return client;
}

async function send(
  target: Record<string, string>,
  data: object,
  rest: Partial<MessageBody> = {},
): Promise<void> {
  const answer = await publisher.send({ type: 'info', service: 'test', target, data, ...rest });
  expect(answer.status, answer.text).toBe(200);
}

const LANES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  plain: {},
  // Headers that lead a request off the fast lane.
  unusual: { TE: 'trailers' },
};

describe.each(Object.keys(LANES))('a stream, %s', (lane) => {
  const headers = LANES[lane] ?? {};

  it.each([
    ['/sse/user/7', ['user:7'], { 'x-user-id': '7' }],
    [
      '/sse/user/7?session_id=s&channels=a,kb:3',
      ['user:7', 'session:s', 'channel:a', 'kb:3'],
      { 'x-user-id': '7' },
    ],
    [
      '/sse/stream?user_id=7&session_id=s&channels=a,b',
      ['user:7', 'session:s', 'channel:a', 'channel:b'],
      { 'x-user-id': '7' },
    ],
    ['/sse/stream?channels=a,channel:a,a', ['channel:a'], {}],
    ['/sse/stream', [], {}],
    ['/sse/stream?user_id=&channels=&since=', [], {}],
    ['/sse/service/knowledge', ['service:knowledge'], { 'x-service': 'knowledge' }],
    [
      '/sse/service/knowledge?user_id=7',
      ['service:knowledge', 'user:7'],
      { 'x-service': 'knowledge', 'x-user-id': '7' },
    ],
    ['/sse/task/t1?user_id=7', ['task:t1', 'user:7'], { 'x-task-id': 't1', 'x-user-id': '7' }],
    ['/sse/user/%E5%BC%A0%2F3', ['user:张/3'], { 'x-user-id': '%E5%BC%A0%2F3' }],
  ])('joins what its URL says: %s', async (path, channels, own) => {
    const stream = open(path, headers);
    const first = await stream.event('the first event', () => true);
    const connectionId = stream.headers.get('x-connection-id') ?? '';
    expect(stream.status).toBe(200);
    expect(Object.fromEntries(stream.headers)).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
      ...own,
    });
    expect(first.type).toBe('message');
    expect(JSON.parse(first.data)).toEqual({
      id: expect.any(String),
      timestamp: expect.any(String),
      type: 'connection',
      data: {
        connection_id: connectionId,
        message: expect.any(String),
        channels: [...channels, 'broadcast', `connection:${connectionId}`],
      },
    });
    expect(stream.idOnlyBlocks).toBe(1);
    expect(first.lastEventId).toMatch(/^[!-~]{1,1024}$/);
    expect(stream.retryMs).toBeGreaterThanOrEqual(1500);
    expect(stream.retryMs).toBeLessThanOrEqual(4500);
  });

  it('has heartbeats, which move no cursor', async () => {
    const stream = open('/sse/user/beat', headers);
    const beat = await stream.event('a heartbeat', (e) => e.type === 'heartbeat', 3000);
    expect(Object.keys(JSON.parse(beat.data))).toEqual(['timestamp']);
    expect(beat.lastEventId).toBe(stream.events[0]?.lastEventId);
  });

  it.each([
    ['/sse/user/%00', 'path.user_id'],
    [`/sse/user/${'u'.repeat(200)}`, 'path.user_id'],
    ['/sse/stream?channels=a%0Ab', 'query.channels'],
    ['/sse/stream?channels=connection:x', 'query.channels'],
    [`/sse/stream?channels=${Array.from({ length: 40 }, (_, i) => `c${i}`).join()}`, 'query.channels'],
    ['/sse/stream?since=yesterday', 'query.since'],
    ['/sse/stream?event_mode=loud', 'query.event_mode'],
    ['/sse/stream?error_event=gap', 'query.error_event'],
    ['/sse/stream?error_event=a%0Ab', 'query.error_event'],
  ])('is refused by name: %s', async (path, field) => {
    const answer = await rawRequest(server.port, { path, headers: Object.entries(headers) });
    expect(answer.status).toBe(422);
    const error = JSON.parse(answer.body);
    expect(error).toMatchObject({ error: true, code: 'validation_failed', path: path.split('?')[0] });
    expect(error.details.map((d: { field: string }) => d.field)).toEqual([field]);
  });

  it('may be read by pages of allowed origins only', async () => {
    const allowed = open('/sse/user/o', { ...headers, Origin: 'https://app.example' });
    const foreign = open('/sse/user/o', { ...headers, Origin: 'https://other.example' });
    await Promise.all([allowed.opened(), foreign.opened()]);
    expect(allowed.headers.get('access-control-allow-origin')).toBe('https://app.example');
    expect(allowed.headers.get('access-control-expose-headers')).toContain('X-Connection-ID');
    expect(allowed.headers.get('vary')).toBe('Origin');
    expect(foreign.headers.has('access-control-allow-origin')).toBe(false);
  });
});

describe('where a stream starts', () => {
  const shown = (stream: StreamClient): number[] =>
    stream.events.filter((e) => e.type === 'info').map((e) => JSON.parse(e.data).data.n);
  let middle = '';

  beforeAll(async () => {
    for (let n = 1; n <= 3; n++) await send({ channel: 'start' }, { n });
    const { json } = await requestJson<{ messages: { timestamp: string }[] }>(
      `${server.url}/sse/api/v1/channels/start/history`,
    );
    // Times have a resolution of milliseconds, so the fourth message must come at a later one.
    while (Date.now() <= Date.parse(json.messages[2]?.timestamp ?? '')) await new Promise(setImmediate);
    middle = new Date().toISOString();
    for (let n = 4; n <= 5; n++) await send({ channel: 'start' }, { n });
  });

  it.each([
    ['', []],
    ['&since=all', [1, 2, 3, 4, 5]],
    ['&since=latest', [5]],
    ['&since=2', [4, 5]],
    ['&since=1000', [1, 2, 3, 4, 5]],
    ['&since=1h', [1, 2, 3, 4, 5]],
    ['&since=MIDDLE', [4, 5]],
    ['&since=MIDDLE_SECONDS', [1, 2, 3, 4, 5]],
  ])('is what it asks for: %s', async (query, expected) => {
    const path = query
      .replace('MIDDLE_SECONDS', String(Math.floor(Date.parse(middle || '1970-01-01') / 1000) - 60))
      .replace('MIDDLE', encodeURIComponent(middle));
    const stream = open(`/sse/stream?channels=start,end-${encodeURIComponent(query)}${path}`);
    await stream.opened();
    await send({ channel: `end-${query}` }, { n: 0 });
    await stream.event('the end', (e) => e.type === 'info' && JSON.parse(e.data).data.n === 0);
    expect(shown(stream)).toEqual([...expected, 0]);
  });

  it('is after a cursor in the URL, and the header wins over it', async () => {
    const first = open('/sse/stream?channels=start&since=all');
    await first.event('all of it', (e) => e.type === 'info' && JSON.parse(e.data).data.n === 5);
    const idOf = (n: number): string =>
      first.events.find((e) => e.type === 'info' && JSON.parse(e.data).data.n === n)?.lastEventId ?? '';
    const path = `/sse/stream?channels=start&last_event_id=${encodeURIComponent(idOf(2))}&since=all`;
    const byUrl = open(path);
    const byHeader = open(path, { 'Last-Event-ID': idOf(4) });
    const isLast = (e: { type: string; data: string }): boolean =>
      e.type === 'info' && JSON.parse(e.data).data.n === 5;
    await Promise.all([byUrl.event('the last', isLast), byHeader.event('the last', isLast)]);
    expect(shown(byUrl)).toEqual([3, 4, 5]);
    expect(shown(byHeader)).toEqual([5]);
  });
});

describe('how messages are framed', () => {
  it.each([
    ['named', '', ['info', 'error']],
    ['message', '&event_mode=message', ['message', 'message']],
    ['both', '&event_mode=both', ['info', 'message', 'error', 'message']],
    ['named, errors under another name', '&error_event=failure', ['info', 'failure']],
    [
      'both, errors under another name',
      '&event_mode=both&error_event=failure',
      ['info', 'message', 'failure', 'message'],
    ],
  ])('%s', async (name, query, types) => {
    const channel = `frame-${name}`.replaceAll(/[ ,]/g, '-');
    const live = open(`/sse/stream?channels=${channel}${query}`);
    await live.opened();
    await send({ channel }, { text: 'line\nline\u2028\r\n', n: 1 });
    await send({ channel }, { n: 2 }, { type: 'error' });
    const replayed = open(`/sse/stream?channels=${channel}${query}&since=all`);
    for (const stream of [live, replayed]) {
      await stream.event('the last', (e) => e.data.includes('"n":2') && e.type === types.at(-1));
      const events = stream.events.slice(1).filter((e) => e.type !== 'heartbeat');
      expect(events.map((e) => e.type)).toEqual(types);
      expect(JSON.parse(events[0]?.data ?? '{}').data).toEqual({ text: 'line\nline\u2028\r\n', n: 1 });
      if (types.length === 4) {
        expect(events[1]?.data).toBe(events[0]?.data);
        // The second event of the pair carries the id, so that a cut between the two loses nothing.
        expect(events[0]?.lastEventId).toBe(stream.events[0]?.lastEventId);
        expect(events[1]?.lastEventId).not.toBe(events[0]?.lastEventId);
      }
    }
  });

  it("shows a message to several of a stream's channels once, live and replayed", async () => {
    const path = '/sse/stream?user_id=several&channels=kb:several,task:several&since=all';
    const live = open(path);
    await live.opened();
    await send({ user_id: 'several', kb_id: 'several', task_id: 'several' }, { n: 1 });
    await send({ task_id: 'several' }, { n: 2 });
    const replayed = open(path);
    for (const stream of [live, replayed]) {
      await stream.event('the last', (e) => e.type === 'info' && JSON.parse(e.data).data.n === 2);
      expect(stream.events.filter((e) => e.type === 'info').map((e) => JSON.parse(e.data).data.n)).toEqual([
        1, 2,
      ]);
    }
  });

  it('reaches one connection alone', async () => {
    const [one, two] = [open('/sse/user/direct'), open('/sse/user/direct')];
    await Promise.all([one.opened(), two.opened()]);
    await send({ connection_id: one.headers.get('x-connection-id') ?? '' }, { n: 1 });
    await send({ user_id: 'direct' }, { n: 2 });
    const isLast = (e: { type: string; data: string }): boolean =>
      e.type === 'info' && JSON.parse(e.data).data.n === 2;
    await Promise.all([one.event('the last', isLast), two.event('the last', isLast)]);
    expect(one.events.filter((e) => e.type === 'info').length).toBe(2);
    expect(two.events.filter((e) => e.type === 'info').length).toBe(1);
  });
});

describe('methods of a stream', () => {
  it('answers a preflight', async () => {
    const answer = await rawRequest(server.port, {
      method: 'OPTIONS',
      path: '/sse/user/7',
      headers: [
        ['Origin', 'https://app.example'],
        ['Access-Control-Request-Method', 'GET'],
        ['Access-Control-Request-Headers', 'last-event-id, authorization'],
      ],
    });
    expect(answer.status).toBe(204);
    expect(answer.headers.get('access-control-allow-origin')).toBe('https://app.example');
    expect(answer.headers.get('access-control-allow-headers')).toBe('last-event-id, authorization');
    expect(answer.headers.get('access-control-allow-methods')).toContain('GET');
  });

  it.each(['POST', 'PUT', 'DELETE', 'HEAD'])('refuses %s and names what is allowed', async (method) => {
    const answer = await rawRequest(server.port, { method, path: '/sse/user/7' });
    expect(answer.status).toBe(405);
    expect(answer.headers.get('allow')).toBe('GET, OPTIONS');
  });
});
