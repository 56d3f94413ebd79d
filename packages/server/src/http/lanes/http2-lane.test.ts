import { once } from 'node:events';
import { type ClientHttp2Session, connect, constants } from 'node:http2';
import { createServer, type Server } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Answers } from '../answers.ts';
import { Http2Lane } from './http2-lane.ts';

let lane: Http2Lane;
let server: Server;
let client: ClientHttp2Session;
let nowMs: number;
let isDraining: boolean;
const hosts: (string | undefined)[] = [];
const finished: string[] = [];
const answers = new Answers({
  serviceName: 'push',
  cors: { origins: '*', allowsCredentials: false },
  transportHeaders: { 'strict-transport-security': 'max-age=1' },
  log: pino({ enabled: false }),
  counterOf: () => ({ record: () => {} }),
});

beforeEach(async () => {
  nowMs = 1_000_000;
  isDraining = false;
  hosts.length = 0;
  finished.length = 0;
  lane = new Http2Lane({
    handler: (request, response) => {
      hosts.push(request.headers.host);
      response.on('finish', () => finished.push(request.url));
      if (request.url === '/open') response.stream.respond({ ':status': 200 });
      else if (request.url === '/early') response.end('early');
      else if (request.url === '/large') response.end(Buffer.alloc(5_000_000));
      else request.on('end', () => response.end('whole')).resume();
    },
    answers,
    maxHeaderBytes: 16_384,
    requestTimeoutMs: 30_000,
    keepAliveMs: 75_000,
    maxOutboxBytes: 65_536,
    isDraining: () => isDraining,
    now: () => nowMs,
  });
  lane.start();
  // [Node] A socket that has chosen no protocol by TLS is taken for HTTP/2 as well.
  server = createServer({ allowHalfOpen: true }, (socket) => lane.take(socket as TLSSocket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  client = connect(`http://127.0.0.1:${(server.address() as { port: number }).port}`);
  client.on('error', () => client.destroy());
});
afterEach(async () => {
  client.destroy();
  await lane.close(100);
  server.close();
});

async function get(path: string): Promise<string> {
  const request = client.request({ ':path': path });
  let text = '';
  request.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  await once(request, 'close');
  return text;
}

test('requests come to the handler with a host', async () => {
  expect(await get('/')).toBe('whole');
  expect(hosts).toEqual([new URL(`http://127.0.0.1:${(server.address() as { port: number }).port}`).host]);
});

test('a connection without a stream is let go, one that pings too, and one with a stream is kept', async () => {
  await get('/');
  const stream = client.request({ ':path': '/open' });
  await once(stream, 'response');
  const goaway = once(client, 'goaway');
  nowMs += 80_000;
  await new Promise((resolve) => client.ping(resolve));
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  expect(client.closed).toBe(false);
  stream.close(constants.NGHTTP2_CANCEL);
  await once(stream, 'close');
  await new Promise((resolve) => client.ping(resolve));
  nowMs += 80_000;
  expect((await goaway)[0]).toBe(constants.NGHTTP2_NO_ERROR);
  await once(client, 'close');
});

test('while it drains, a connection is let go once one of its streams has ended, and the others go on', async () => {
  const [first, second] = [client.request({ ':path': '/open' }), client.request({ ':path': '/open' })];
  await Promise.all([once(first, 'response'), once(second, 'response')]);
  isDraining = true;
  const goaway = once(client, 'goaway');
  first.close(constants.NGHTTP2_CANCEL);
  await goaway;
  expect(second.closed).toBe(false);
  second.close(constants.NGHTTP2_CANCEL);
  await once(client, 'close');
});

test('a request whose end does not come is refused in time, answered or not', async () => {
  const late = client.request({ ':path': '/late?a=b', ':method': 'POST', 'x-request-id': 'r1' });
  late.write('x');
  const early = client.request({ ':path': '/early', ':method': 'POST' });
  early.write('x');
  await once(early, 'response');
  early.resume();
  const answered = once(late, 'response');
  nowMs += 31_000;
  expect((await answered)[0]).toMatchObject({ ':status': 408, 'x-request-id': 'r1' });
  let body = '';
  late.setEncoding('utf8').on('data', (chunk: string) => {
    body += chunk;
  });
  for (const request of [late, early]) if (!request.closed) await once(request, 'close');
  expect([late.rstCode, early.rstCode]).toEqual([0, 0]);
  expect(JSON.parse(body)).toMatchObject({ code: 'request_timeout', path: '/late' });
  // The handler is not told that it has answered the late one.
  expect(finished).toEqual(['/early']);
});

test('an answer that nobody reads is given up', async () => {
  const unread = client.request({ ':path': '/large' });
  unread.on('error', () => unread.destroy());
  await once(unread, 'response');
  nowMs += 301_000;
  // A stream that is not read does not say that it was reset.
  const gone = once(client, 'goaway');
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  nowMs += 80_000;
  await gone;
});

test('a connection that resets what it asks for is closed', async () => {
  const closed = new Promise((resolve) => client.once('close', resolve));
  for (let i = 0; i < 1_000 && !client.closed && !client.destroyed; i++) {
    const request = client.request({ ':path': '/open' });
    request.on('error', () => request.destroy());
    request.close(constants.NGHTTP2_CANCEL);
    if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await closed;
});

test('a peer that closes its side has gone', async () => {
  const stream = client.request({ ':path': '/open' });
  stream.on('error', () => stream.destroy());
  await once(stream, 'response');
  client.destroy();
  await lane.close(5_000);
  expect(await new Promise((resolve) => server.getConnections((_, count) => resolve(count)))).toBe(0);
});
