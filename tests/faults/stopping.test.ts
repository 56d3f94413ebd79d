/** An orderly stop, and what streams are told when the service is full or stopping. */
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { request, requestJson } from '../support/http/http.ts';
import { type MessageBody, TestPublisher } from '../support/messages/publisher.ts';
import { TestServer } from '../support/service/server.ts';
import { StreamClient } from '../support/streams/stream-client.ts';
import { waitFor } from '../support/wait.ts';

let server: TestServer;
const clients: StreamClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await server.dispose();
});

function open(path: string, reconnects = false, bytesPerSecond?: number): StreamClient {
  const client = new StreamClient({
    port: server.port,
    path,
    reconnects,
    ...(bytesPerSecond !== undefined && { bytesPerSecond }),
  });
  clients.push(client);
  return client;
}

function message(n: number, size = 0): MessageBody {
  const data = { n, text: 'z'.repeat(size) };
  return { id: `s${n}`, type: 'info', service: 'test', target: { channel: 'c' }, data };
}

describe('a service that is told to stop', () => {
  it('turns unready, sends newcomers and old streams away over its window, answers publishes and ends with 0', async () => {
    const drainMs = 4000;
    server = await TestServer.start({ env: { DRAIN_TIMEOUT: String(drainMs / 1000) } });
    const streams = Array.from({ length: 60 }, () => open('/sse/stream?channels=c'));
    await Promise.all(streams.map((s) => s.opened()));
    const publisher = new TestPublisher(server.url);
    // The head of this request has arrived, its body has not.
    const body = JSON.stringify(message(0));
    const halfWay = connect(server.port, '127.0.0.1');
    let halfWayAnswer = '';
    halfWay.on('data', (chunk) => {
      halfWayAnswer += chunk.toString();
    });
    halfWay.write(
      `POST /sse/api/v1/messages/send HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 20)}`,
    );
    await publisher.send(message(1));

    const stopMs = performance.now();
    server.signal('SIGTERM');
    await waitFor('readiness to end', async () => (await server.readiness()) === 503, { timeoutMs: 2000 });
    const isStillServing = streams.filter((s) => s.isOpen).length;
    const health = await requestJson<{ status: string; connection_manager: { status: string } }>(
      `${server.url}/sse/health`,
    );
    const newcomer = open('/sse/stream?channels=c');
    const farewell = await newcomer.event('a farewell', (e) => e.type === 'reconnect');
    await newcomer.ended();
    halfWay.write(body.slice(20));
    await waitFor('the answer to the half-way publish', () => halfWayAnswer !== '');
    // A publisher continues as long as the port accepts connections.
    let answered = 0;
    let n = 2;
    const statuses = new Set<number>();
    for (let isThere = true; isThere; n++) {
      const answer = await publisher.send(message(n)).catch((error: NodeJS.ErrnoException) => error);
      isThere = !(answer instanceof Error);
      if (answer instanceof Error) expect(['ECONNREFUSED', 'ECONNRESET']).toContain(answer.code);
      else statuses.add(answer.status);
      if (isThere) answered++;
      await delay(5);
    }
    await Promise.all(streams.map((s) => s.ended()));
    publisher.close();
    const exit = await server.exited(drainMs + 3000);
    const tookMs = performance.now() - stopMs;

    const goodbyes = streams.map((s) => s.events.find((e) => e.type === 'reconnect'));
    console.log(
      `stopping: ${streams.length} streams sent away, ${isStillServing} still open when unready, ${answered} publishes ` +
        `answered meanwhile, ended with ${exit.code} after ${Math.round(tookMs)} ms of ${drainMs}`,
    );
    expect(isStillServing).toBeGreaterThan(streams.length / 2);
    expect(health).toMatchObject({
      status: 200,
      json: { status: 'degraded', connection_manager: { status: 'draining' } },
    });
    expect(newcomer.status).toBe(200);
    expect(newcomer.retryMs).toBeGreaterThan(0);
    expect(JSON.parse(farewell.data)).toMatchObject({
      type: 'reconnect',
      data: { reason: 'draining', retry_ms: newcomer.retryMs },
    });
    expect(halfWayAnswer).toMatch(/^HTTP\/1\.1 200 /);
    expect([...statuses]).toEqual([200]);
    expect(goodbyes.map((e) => JSON.parse(e?.data ?? '{}').data?.reason)).toEqual(
      streams.map(() => 'draining'),
    );
    expect(new Set(streams.map((s) => s.retryMs)).size).toBeGreaterThan(streams.length / 2);
    const times = goodbyes
      .map((e) => Date.parse(JSON.parse(e?.data ?? '{}').timestamp))
      .toSorted((a, b) => a - b);
    const spreadMs = (times.at(-1) ?? 0) - (times[0] ?? 0);
    expect(spreadMs).toBeGreaterThan(drainMs * 0.4);
    expect(spreadMs).toBeLessThan(drainMs);
    expect(exit).toEqual({ code: 0, signal: null });
    expect(tookMs).toBeLessThan(drainMs + 1500);
    // Everything that was acknowledged is stored.
    await server.start();
    const history = await requestJson<{ last_offset: number }>(
      `${server.url}/sse/api/v1/channels/channel:c/history`,
    );
    expect(history.json.last_offset).toBe(answered + 2);
  });

  it('sends newcomers to the next node with 503, through a trusted proxy that says it goes there, and nobody else', async () => {
    server = await TestServer.start({ env: { DRAIN_TIMEOUT: '4', TRUST_PROXY: '127.0.0.2' } });
    const streams = Array.from({ length: 20 }, () => open('/sse/stream?channels=c'));
    await Promise.all(streams.map((s) => s.opened()));
    const ask = (localAddress: string, claim: Record<string, string>): Promise<StreamClient> => {
      const client = new StreamClient({
        port: server.port,
        path: '/sse/stream?channels=c',
        headers: claim,
        localAddress,
        reconnects: false,
      });
      clients.push(client);
      return waitFor('an answer', () => client.status !== undefined && client);
    };
    const claim = { 'X-Retry-Upstream': '1' };
    // The header has no effect while the service is not stopping.
    expect((await ask('127.0.0.2', claim)).status).toBe(200);
    server.signal('SIGTERM');
    await waitFor('readiness to end', async () => (await server.readiness()) === 503, { timeoutMs: 2000 });
    expect((await ask('127.0.0.2', claim)).status).toBe(503);
    expect((await ask('127.0.0.2', {})).status).toBe(200);
    expect((await ask('127.0.0.3', claim)).status).toBe(200);
    expect(await server.exited()).toEqual({ code: 0, signal: null });
  });

  it('ends soon when there are no streams', async () => {
    server = await TestServer.start({ env: { DRAIN_TIMEOUT: '20' } });
    const sinceMs = performance.now();
    expect(await server.stop()).toEqual({ code: 0, signal: null });
    expect(performance.now() - sinceMs).toBeLessThan(3000);
  });

  it('answers publishes that are under way when it is told to stop and has no streams', async () => {
    server = await TestServer.start();
    const publishers = Array.from({ length: 30 }, () => new TestPublisher(server.url));
    await Promise.all(publishers.map((p, i) => p.send(message(i))));
    const pending = publishers.map((p, i) =>
      p.batch(Array.from({ length: 50 }, (_, k) => message(1000 + i * 50 + k, 2000))).then((a) => a.status),
    );
    // After the first answer all other requests have been sent, and most of them wait for the disk.
    await Promise.race(pending);
    server.signal('SIGTERM');
    const outcomes = await Promise.allSettled(pending);
    for (const publisher of publishers) publisher.close();
    expect(await server.exited()).toEqual({ code: 0, signal: null });
    const unanswered = outcomes.filter((o) => o.status === 'rejected').length;
    console.log(
      `stopping: ${outcomes.length - unanswered} of ${outcomes.length} batches under way were answered`,
    );
    expect(outcomes).toEqual(publishers.map(() => ({ status: 'fulfilled', value: 200 })));
  });

  it.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const)('ends at once at the second signal: %s', async (signal, code) => {
    server = await TestServer.start({ env: { DRAIN_TIMEOUT: '60' } });
    const streams = Array.from({ length: 20 }, () => open('/sse/stream?channels=c'));
    await Promise.all(streams.map((s) => s.opened()));
    server.signal(signal);
    await waitFor('readiness to end', async () => (await server.readiness()) === 503, { timeoutMs: 2000 });
    const sinceMs = performance.now();
    server.signal(signal);
    expect(await server.exited()).toEqual({ code, signal: null });
    expect(performance.now() - sinceMs).toBeLessThan(1000);
  });
});

describe('a stream beyond a limit', () => {
  it.each([
    [
      'MAX_CONNECTIONS',
      'too_many_connections',
      ['/sse/user/1', '/sse/user/2', '/sse/stream?channels=c'],
      '/sse/user/4',
    ],
    [
      'MAX_CONNECTIONS_PER_USER',
      'too_many_connections_of_user',
      ['/sse/user/1', '/sse/user/1', '/sse/task/9?user_id=1'],
      '/sse/user/1',
    ],
    [
      'MAX_CONNECTIONS_PER_ADDRESS',
      'too_many_connections_of_address',
      ['/sse/user/1', '/sse/user/2', '/sse/user/3'],
      '/sse/user/4',
    ],
  ])(
    'is answered with 200, retry, a named event and the end, and older ones stay: %s',
    async (variable, reason, paths, path) => {
      server = await TestServer.start({ env: { [variable]: '3' } });
      const older = paths.map((p) => open(p));
      await Promise.all(older.map((s) => s.opened()));
      const turnedAway = open(path);
      const farewell = await turnedAway.event('a farewell', (e) => e.type === 'reconnect');
      await turnedAway.ended();
      expect(turnedAway.status).toBe(200);
      expect(turnedAway.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
      expect(turnedAway.retryMs).toBeGreaterThanOrEqual(1500);
      expect(turnedAway.retryMs).toBeLessThanOrEqual(4500);
      expect(JSON.parse(farewell.data).data).toEqual({ reason, retry_ms: turnedAway.retryMs });
      expect(turnedAway.events.length).toBe(1);
      const publisher = new TestPublisher(server.url);
      await publisher.broadcast({ type: 'info', service: 'test', data: {} });
      publisher.close();
      await Promise.all(older.map((s) => s.event('a message', (e) => e.type === 'info')));
      expect(older.map((s) => s.endsByPeer)).toEqual([0, 0, 0]);
      // A stream that leaves makes room for the next.
      older[0]?.close();
      const next = new StreamClient({ port: server.port, path, maxRetryMs: 20 });
      clients.push(next);
      await next.event('a connection', (e) => e.type === 'message');
    },
  );

  it('is another matter for other users', async () => {
    server = await TestServer.start({ env: { MAX_CONNECTIONS_PER_USER: '1' } });
    const first = open('/sse/user/1');
    await first.opened();
    const other = open('/sse/user/2');
    await other.event('a connection', (e) => e.type === 'message');
  });
});

describe('CONNECTION_TIMEOUT', () => {
  it('cuts a peer that reads nothing and leaves one that reads slowly', async () => {
    server = await TestServer.start({ env: { CONNECTION_TIMEOUT: '4' } });
    const dead = open('/sse/stream?channels=c', true);
    // The kernel takes more bytes only once a third of its buffer is free, so a slower reader would look dead for seconds.
    const slow = open('/sse/stream?channels=c', true, 800_000);
    await Promise.all([dead.opened(), slow.opened()]);
    dead.stopReading();
    const publisher = new TestPublisher(server.url);
    // More than the kernel buffers for a connection.
    const count = 120;
    for (let n = 0; n < count; n += 10) {
      await publisher.batchUntilAcknowledged(Array.from({ length: 10 }, (_, i) => message(n + i, 80_000)));
    }
    publisher.close();
    const sinceMs = performance.now();
    const closed = await waitFor(
      'the cut of the peer that reads nothing',
      async () => {
        const { text } = await request(`http://127.0.0.1:${server.metricsPort}/metrics`);
        return /connections_closed_total\{[^}]*reason="stalled"[^}]*\} ([1-9]\d*)/.exec(text)?.[1];
      },
      { timeoutMs: 20_000, pollMs: 100 },
    );
    const cutMs = performance.now() - sinceMs;
    // The same time once more.
    await delay(6000);
    expect(slow.opens).toBe(1);
    expect(slow.isOpen).toBe(true);
    slow.readAtFullSpeed();
    await slow.event('the last message', (e) => e.type === 'info' && JSON.parse(e.data).data.n === count - 1);
    const shown = slow.events.filter((e) => e.type === 'info').map((e) => JSON.parse(e.data).data.n);
    expect(shown).toEqual(Array.from({ length: count }, (_, i) => i));
    expect(slow.endsByPeer).toBe(0);
    expect(closed).toBe('1');
    // It reconnects as an EventSource does and receives everything.
    dead.readAtFullSpeed();
    await dead.event('the last message', (e) => e.type === 'info' && JSON.parse(e.data).data.n === count - 1);
    expect(dead.opens).toBe(2);
    const shownAfterCut = dead.events.filter((e) => e.type === 'info').map((e) => JSON.parse(e.data).data.n);
    expect(shownAfterCut).toEqual(Array.from({ length: count }, (_, i) => i));
    console.log(`connection timeout: cut after ${Math.round(cutMs)} ms, the slow reader stayed`);
  });
});
