/** Streams over HTTP/2: many on one connection, none disturbed by another one or by a hostile connection. */
import { constants } from 'node:http2';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { launchChromium } from '../support/browser/chromium.ts';
import { request, requestJson } from '../support/http/http.ts';
import { Scrape } from '../support/monitoring/metrics.ts';
import { TestServer } from '../support/service/server.ts';
import { TestAuthority, tlsEnv } from '../support/tls/certificates.ts';
import { Http2Client } from '../support/tls/http2-client.ts';
import { floodWithResets } from '../support/tls/reset-flood.ts';
import { waitFor } from '../support/wait.ts';

let authority: TestAuthority;
let env: Record<string, string>;
let server: TestServer;
const clients: Http2Client[] = [];

beforeAll(() => {
  authority = new TestAuthority();
  env = { ...tlsEnv(authority.issue('own')), STREAM_RETRY_MS: '100' };
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await server?.dispose();
});
afterAll(() => authority?.dispose());

async function start(more: Record<string, string> = {}): Promise<void> {
  server = await TestServer.start({ env: { ...env, ...more } });
}

function connect(): Http2Client {
  const client = new Http2Client(server.url, authority.ca);
  clients.push(client);
  return client;
}

async function publish(userId: string, from: number, count: number, bytes = 0): Promise<void> {
  for (let at = from; at < from + count; at += 100) {
    const messages = Array.from({ length: Math.min(100, from + count - at) }, (_, i) => ({
      type: 'info',
      service: 's',
      target: { user_id: userId },
      data: { number: at + i, text: 'x'.repeat(bytes) },
    }));
    const url = `${server.url}/sse/api/v1/messages/batch`;
    const { json } = await requestJson<{ failed_count: number }>(url, { body: messages });
    expect(json.failed_count).toBe(0);
  }
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

const openConnections = async (): Promise<number> => {
  const url = `${server.url}/sse/api/v1/connections/stats`;
  const { json } = await requestJson<{ stats: { active_connections: number } }>(url);
  return json.stats.active_connections;
};

it('a hundred streams on one connection each get their own messages, and end one by one', async () => {
  await start();
  const client = connect();
  const streams = upTo(100).map((i) => client.open(`/sse/user/u${i}`));
  await Promise.all(streams.map((stream) => stream.opened()));
  expect(await openConnections()).toBe(100);
  await Promise.all(streams.map((_, i) => publish(`u${i}`, i, 1)));
  await waitFor('a message on each', () => streams.every((stream) => stream.numbers().length === 1));
  expect(streams.map((stream) => stream.numbers()[0])).toEqual(upTo(100));
  for (const stream of streams.slice(0, 60)) stream.request.close(constants.NGHTTP2_CANCEL);
  await waitFor('sixty fewer streams', async () => (await openConnections()) === 40);
  client.close();
  await waitFor('no stream', async () => (await openConnections()) === 0);
});

it('a stream resumes on another connection where it was', async () => {
  await start();
  const first = connect().open('/sse/user/r');
  await first.opened();
  await publish('r', 0, 10);
  await waitFor('ten messages', () => first.numbers().length === 10);
  clients[0]?.close();
  await publish('r', 10, 500, 1000);
  const second = connect().open('/sse/user/r', { 'last-event-id': first.lastEventId });
  await waitFor('all that was missed', () => second.numbers().length === 500);
  await publish('r', 510, 1);
  await waitFor('what is new', () => second.numbers().length === 501);
  expect([...first.numbers(), ...second.numbers()]).toEqual(upTo(511));
});

it('catching up is not slowed down by waiting for the socket to say that it has drained', async () => {
  await start();
  await publish('p', 0, 2000, 4000);
  const startedMs = performance.now();
  const stream = connect().open('/sse/user/p?since=all');
  await waitFor('all of history', () => stream.numbers().length === 2000);
  // 8 MB in pages of 64 KB: it would take 12 s if each page waited for the next tick.
  expect(performance.now() - startedMs).toBeLessThan(9000);
  expect(stream.numbers()).toEqual(upTo(2000));
});

it('limits count streams, and who is over them is told to come back', async () => {
  await start({ MAX_CONNECTIONS_PER_USER: '2' });
  const client = connect();
  await Promise.all([client.open('/sse/user/l').opened(), client.open('/sse/user/l').opened()]);
  const third = client.open('/sse/user/l');
  const farewell = await third.event('a farewell', ({ type }) => type === 'reconnect');
  expect(third.headers[':status']).toBe(200);
  expect(farewell.data).toContain('too_many_connections_of_user');
  await waitFor('its end', () => third.isEnded);
  expect(client.streams.filter(({ isEnded }) => isEnded)).toEqual([third]);
});

it('a slow reader costs the other streams of its connection nothing, and catches up', async () => {
  await start({ MAX_OUTBOX_BYTES: '65536' });
  const client = connect();
  const slow = client.open('/sse/user/w');
  const quick = client.open('/sse/user/w');
  await Promise.all([slow.opened(), quick.opened()]);
  slow.request.pause();
  await publish('w', 0, 1000, 2000);
  await waitFor('all on the quick one', () => quick.numbers().length === 1000);
  expect(slow.numbers().length).toBeLessThan(1000);
  const scrape = await Scrape.of(server.metricsPort);
  expect(scrape.sum('message_push_slow_sessions_total')).toBeGreaterThan(0);
  expect(scrape.sum('message_push_outbox_bytes')).toBeLessThan(1_000_000);
  slow.request.resume();
  await waitFor('all on the slow one', () => slow.numbers().length === 1000);
  expect(slow.numbers()).toEqual(upTo(1000));
  await publish('w', 1000, 1);
  await waitFor('what is new', () => slow.numbers().length === 1001);
});

it('a reader that reads slowly is kept, and one that reads nothing is cut', async () => {
  await start({ CONNECTION_TIMEOUT: '3' });
  const client = connect();
  const slow = client.open('/sse/user/c');
  const dead = client.open('/sse/user/c');
  await Promise.all([slow.opened(), dead.opened()]);
  slow.bytesPerSecond = 250_000;
  dead.request.pause();
  await publish('c', 0, 1000, 2000);
  await waitFor('the end of the one that reads nothing', async () => (await openConnections()) === 1, {
    timeoutMs: 15_000,
  });
  await waitFor('all on the slow one', () => slow.numbers().length === 1000, { timeoutMs: 30_000 });
  expect(slow.isEnded).toBe(false);
});

it('draining tells every stream, then the connection, and a client comes back by a new one', async () => {
  await start({ DRAIN_TIMEOUT: '2' });
  const [many, one] = [connect(), connect()];
  const streams = [...upTo(20).map((i) => many.open(`/sse/user/d${i}`)), one.open('/sse/user/d')];
  await Promise.all(streams.map((stream) => stream.opened()));
  const last = streams.at(-1);
  await publish('d', 0, 3);
  await waitFor('three messages', () => last?.numbers().length === 3);
  server.signal('SIGTERM');
  await Promise.all(streams.map((stream) => stream.event('a farewell', ({ type }) => type === 'reconnect')));
  for (const client of [many, one]) await waitFor('GOAWAY', () => client.goaways.length > 0);
  expect([...many.goaways, ...one.goaways].every((code) => code === constants.NGHTTP2_NO_ERROR)).toBe(true);
  await waitFor('the ends', () => streams.every(({ isEnded }) => isEnded) && many.isClosed && one.isClosed);
  expect(streams.map(({ request: { rstCode } }) => rstCode)).toEqual(streams.map(() => 0));
  expect(await server.exited()).toEqual({ code: 0, signal: null });
  await server.start();
  await publish('d', 3, 1);
  const again = connect().open('/sse/user/d', { 'last-event-id': last?.lastEventId ?? '' });
  await waitFor('what was missed', () => again.numbers().length === 1);
  expect(again.numbers()).toEqual([3]);
});

it('a connection that resets as fast as it can is closed, and the others do not notice', async () => {
  await start();
  const stream = connect().open('/sse/user/h');
  await stream.opened();
  // Resolves when the server has closed the connection.
  expect(await floodWithResets(server.url, authority.ca, '/sse/user/x')).toBeGreaterThan(0);
  await publish('h', 0, 100);
  await waitFor('all messages', () => stream.numbers().length === 100);
  await waitFor('no stream but that one', async () => (await openConnections()) === 1);
  expect(server.isRunning).toBe(true);
});

it('a request whose body does not come is answered, and its connection goes on', async () => {
  await start({ REQUEST_TIMEOUT: '1' });
  const client = connect();
  const stream = client.open('/sse/user/t');
  await stream.opened();
  const upload = client.session.request({
    ':method': 'POST',
    ':path': '/sse/api/v1/messages/send',
    'content-type': 'application/json',
  });
  upload.write('{"type":');
  let status: unknown;
  upload.on('response', (headers) => {
    status = headers[':status'];
  });
  upload.on('error', () => upload.destroy());
  upload.resume();
  await waitFor('a refusal', () => status !== undefined && upload.destroyed, { timeoutMs: 10_000 });
  expect(status).toBe(408);
  await publish('t', 0, 1);
  await waitFor('a message', () => stream.numbers().length === 1);
});

it('heads that are too large are refused, one by one', async () => {
  await start();
  const client = connect();
  const stream = client.open('/sse/user/b');
  await stream.opened();
  const large = client.open('/sse/user/b', { cookie: 'x'.repeat(40_000) });
  await waitFor('its refusal', () => large.isEnded);
  expect(large.lastEventId).toBe('');
  await publish('b', 0, 1);
  await waitFor('a message', () => stream.numbers().length === 1);
});

/** Variables of the page. */
declare const received: number[][];
declare const sources: EventSource[];

it('a browser holds eight streams over one connection, posts beside them, and they resume', async () => {
  await start({ DRAIN_TIMEOUT: '1' });
  const browser = await launchChromium();
  try {
    const context = await browser.newContext({ ignoreHTTPSErrors: true, bypassCSP: true });
    const page = await context.newPage();
    await page.goto(`${server.url}/sse/health`);
    await page.evaluate(() => {
      Object.assign(globalThis, { received: Array.from({ length: 8 }, () => []), sources: [] });
      for (let i = 0; i < 8; i++) {
        const source = new EventSource(`/sse/user/e${i}`);
        source.addEventListener('info', ({ data }) => received[i]?.push(JSON.parse(data).data.number));
        sources.push(source);
      }
    });
    await page.waitForFunction(() => sources.every(({ readyState }) => readyState === 1), undefined, {
      timeout: 15_000,
    });
    for (let i = 0; i < 8; i++) await publish(`e${i}`, 0, 3);
    await page.waitForFunction(() => received.every(({ length }) => length === 3), undefined, {
      timeout: 15_000,
    });
    const protocols = await page.evaluate(async () => {
      const answer = await fetch('/sse/api/v1/messages/send', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ type: 'info', service: 's', target: { user_id: 'e0' }, data: { number: 3 } }),
      });
      const entries = performance.getEntriesByType('resource') as PerformanceResourceTiming[];
      return [answer.status, ...new Set(entries.map(({ nextHopProtocol }) => nextHopProtocol))];
    });
    expect(protocols).toEqual([200, 'h2']);
    await server.stop();
    await server.start();
    for (let i = 1; i < 8; i++) await publish(`e${i}`, 3, 1);
    await page.waitForFunction(() => received.every(({ length }) => length === 4), undefined, {
      timeout: 30_000,
    });
    expect(await page.evaluate(() => received)).toEqual(upTo(8).map(() => [0, 1, 2, 3]));
  } finally {
    await browser.close();
  }
});

it('the end of a stream is not counted as an answer', async () => {
  await start();
  const client = connect();
  const stream = client.open('/sse/user/m');
  await stream.opened();
  client.close();
  await waitFor('no stream', async () => (await openConnections()) === 0);
  await request(`${server.url}/sse/user/m?since=never`);
  const scrape = await Scrape.of(server.metricsPort);
  const route = { route: '/sse/user/:user_id' };
  expect(scrape.sum('message_push_http_requests_total', { ...route, status: '422' })).toBe(1);
  expect(scrape.sum('message_push_http_requests_total', { ...route, status: '200' })).toBeUndefined();
});
