/** Peers that begin a request and never end it hold nothing that others need. */
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { probe } from '../support/access/access-probe.ts';
import { CLOSED_ENV, keyList, keyText } from '../support/access/credentials.ts';
import { atScale } from '../support/scale.ts';
import { TestServer } from '../support/service/server.ts';
import { waitFor } from '../support/wait.ts';

const HALF_OPEN = atScale(5000, 1500);
const CLIENTS = 200;
const REQUEST_TIMEOUT_S = atScale(15, 8);
/** Only the beginnings of requests are sent; some would be refused as a whole. */
const BEGINNINGS = [
  'GET /sse/user/7 HTTP/1.1\r\nHost: h\r\n',
  'POST /sse/api/v1/messages/send HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n',
  `POST /sse/api/v1/messages/send HTTP/1.1\r\nHost: h\r\nX-API-Key: ${keyText('publisher')}\r\nContent-Length: 900\r\n\r\n{"type":`,
  'GET /sse/api/v1/connections HTTP/1.1\r\nX-A: ',
  'OPTIONS /',
  '',
];

let server: TestServer;
const sockets = new Set<Socket>();
beforeAll(async () => {
  server = await TestServer.start({
    env: {
      ...CLOSED_ENV,
      API_KEYS: keyList([{ name: 'publisher', scopes: ['publish', 'read'], channels: ['*'] }]),
      REQUEST_TIMEOUT: String(REQUEST_TIMEOUT_S),
    },
  });
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  await server?.dispose();
});

test(`with ${HALF_OPEN} half requests open every new client is served`, { timeout: 240_000 }, async () => {
  let isLasting = true;
  let accepted = 0;
  const begin = (i: number): void => {
    const socket = connect({ port: server.port, host: '127.0.0.1' });
    sockets.add(socket);
    socket.once('connect', () => {
      accepted++;
      socket.write(BEGINNINGS[i % BEGINNINGS.length] ?? '');
    });
    socket.on('error', () => undefined).resume();
    // An attacker reconnects.
    socket.once('close', () => {
      sockets.delete(socket);
      if (isLasting) begin(i);
    });
  };
  for (let i = 0; i < HALF_OPEN; i++) {
    begin(i);
    if (i % 250 === 249) await delay(5);
  }
  await waitFor('all connections', () => accepted >= HALF_OPEN, { timeoutMs: 60_000 });

  const headers = { 'x-api-key': keyText('publisher') };
  const body = { type: 'info', service: 't', target: { user_id: '7' }, data: {} };
  const tookMs: number[] = [];
  for (let i = 0; i < CLIENTS; i++) {
    const startedMs = performance.now();
    const ask =
      i % 2 === 0
        ? { method: 'GET', path: '/sse/user/7', headers }
        : { method: 'POST', path: '/sse/api/v1/messages/send', headers, body };
    expect((await probe(server.port, ask)).status).toBe(200);
    tookMs.push(performance.now() - startedMs);
  }
  const p99 = tookMs.toSorted((a, b) => a - b)[Math.floor(CLIENTS * 0.99)] as number;
  expect(p99).toBeLessThan(1000);

  // The service gives up on requests that do not end: their connections are closed.
  isLasting = false;
  await waitFor('the end of the half requests', () => sockets.size <= HALF_OPEN / BEGINNINGS.length + 1, {
    timeoutMs: 3 * REQUEST_TIMEOUT_S * 1000,
    describe: () => `${sockets.size} are open`,
  });
});
