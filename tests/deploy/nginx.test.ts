/** A real nginx with config/nginx.conf, over TLS and HTTP/2, in front of one node and of three. */
import { request as httpsRequest } from 'node:https';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, it } from 'vitest';
import { request, requestJson } from '../support/http/http.ts';
import { Scrape } from '../support/monitoring/metrics.ts';
import { ShippedProxy } from '../support/nginx/shipped-proxy.ts';
import { FLEET_ENV } from '../support/redis/fleet.ts';
import { RedisServer } from '../support/redis/redis-server.ts';
import { standaloneEnv } from '../support/redis/service-env.ts';
import { TestServer } from '../support/service/server.ts';
import { H2Stream } from '../support/streams/h2-stream.ts';
import { waitFor } from '../support/wait.ts';

const CLIENT_ADDRESS = '127.0.0.77';
const STREAMS = 60;

let nginx: ShippedProxy;
const servers: TestServer[] = [];
const streams: H2Stream[] = [];
let redis: RedisServer | undefined;

afterEach(async () => {
  for (const stream of streams.splice(0)) stream.close();
  await nginx.dispose();
  for (const server of servers.splice(0)) await server.dispose();
  await redis?.dispose();
  redis = undefined;
});

async function startServer(env: Readonly<Record<string, string>> = {}): Promise<TestServer> {
  const server = await TestServer.start({ env: { TRUST_PROXY: '127.0.0.1', DRAIN_TIMEOUT: '3', ...env } });
  servers.push(server);
  return server;
}

/** A request over HTTP/1.1, as publishers send them, from an address of its own. */
function through(path: string, body?: object): Promise<{ status: number; text: string; headers: object }> {
  const options = {
    localAddress: CLIENT_ADDRESS,
    rejectUnauthorized: false,
    timeout: 5000,
    method: body ? 'POST' : 'GET',
  };
  return new Promise((resolve, reject) => {
    const headers = body && { 'content-type': 'application/json' };
    const sent = httpsRequest(
      `https://127.0.0.1:${nginx.port}${path}`,
      { ...options, ...(headers && { headers }) },
      (answer) => {
        text(answer).then(
          (t) => resolve({ status: answer.statusCode ?? 0, text: t, headers: answer.headers }),
          reject,
        );
      },
    );
    sent.on('error', reject);
    sent.end(body && JSON.stringify(body));
  });
}

function publish(n: number): Promise<{ status: number }> {
  return through('/sse/api/v1/messages/send', {
    id: `m${n}`,
    type: 'info',
    service: 't',
    target: { channel: 'c' },
    data: { n },
  });
}

function open(path: string): H2Stream {
  const stream = new H2Stream(`https://127.0.0.1:${nginx.port}`, path);
  streams.push(stream);
  return stream;
}

const numbers = (stream: H2Stream): number[] =>
  stream.events.filter((e) => e.type === 'info').map((e) => JSON.parse(e.data).data.n as number);
const count = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

async function start(backends: readonly TestServer[]): Promise<void> {
  nginx = await ShippedProxy.start(backends.map((s) => s.port));
}

describe('nginx in front of one node', () => {
  it('passes events on at once, unchanged, and the address of the client', async () => {
    const server = await startServer();
    await start([server]);
    const stream = open('/sse/stream?channels=c&user_id=u');
    await waitFor('the stream', () => stream.lastEventId !== '');
    for (const n of count(3)) {
      expect((await publish(n)).status).toBe(200);
      // Nothing follows that could flush it out of a buffer.
      await waitFor('the event', () => numbers(stream).length === n + 1, { timeoutMs: 2000 });
    }
    expect(numbers(stream)).toEqual(count(3));
    // Over HTTP/1.1 the body ends with the connection.
    const tail = httpsRequest(`https://127.0.0.1:${nginx.port}/sse/user/v`, {
      localAddress: CLIENT_ADDRESS,
      rejectUnauthorized: false,
    });
    tail.end();
    const headers = await new Promise<object>((resolve) => tail.on('response', (a) => resolve(a.headers)));
    expect(headers).toMatchObject({
      'content-type': expect.stringContaining('text/event-stream'),
      'x-user-id': 'v',
    });
    expect(headers).not.toHaveProperty('transfer-encoding');
    expect(headers).not.toHaveProperty('content-encoding');
    const { json } = await requestJson<{ connections: { user_id: string; client_ip: string }[] }>(
      `${server.url}/sse/api/v1/connections?user_id=v`,
    );
    expect(json.connections.map((c) => c.client_ip)).toEqual([CLIENT_ADDRESS]);
    tail.destroy();
  });

  it('shows health and documentation, hides metrics, and logs no query', async () => {
    const server = await startServer();
    await start([server]);
    expect(await through('/nginx-health')).toMatchObject({ status: 200, text: 'ok\n' });
    expect((await through('/sse/health')).text).toContain('"status":"healthy"');
    expect((await through('/sse/health/ready')).status).toBe(200);
    expect((await through('/docs')).status).toBeLessThan(400);
    for (const path of ['/sse/metrics', '/metrics']) {
      const { status, text: page } = await through(path);
      expect([status, page]).toEqual([404, expect.not.stringContaining('message_push_')]);
    }
    await through('/openapi.json?ticket=secret-of-somebody');
    await waitFor('the line in the log', () => nginx.accessLog().includes('/openapi.json'), {
      timeoutMs: 10_000,
    });
    expect(nginx.accessLog()).not.toContain('secret-of-somebody');
  });

  it('streams survive a restart of the only node: no browser gives up, and nothing is lost', async () => {
    const server = await startServer();
    await start([server]);
    const own = count(5).map(() => open('/sse/stream?channels=c'));
    await waitFor('the streams', () => own.every((s) => s.lastEventId !== ''));
    await publish(0);
    await server.stop();
    // No node is there: nginx tells the streams to come back, each at a different time.
    const told = (s: H2Stream): string[] =>
      s.events.filter((e) => e.data.includes('"unavailable"')).map((e) => e.type);
    await waitFor('an answer to come back', () => own.every((s) => told(s).length > 0));
    expect(own.flatMap(told).every((type) => type === 'reconnect')).toBe(true);
    expect(new Set(own.map((s) => s.retryMs)).size).toBeGreaterThan(1);
    await server.start();
    await waitFor('a publish', async () => (await publish(1)).status === 200);
    await waitFor('the message', () => own.every((s) => numbers(s).length === 2));
    for (const stream of own) expect([stream.isFailed, numbers(stream)]).toEqual([false, [0, 1]]);
  });
});

describe('nginx in front of a node that is stopping', () => {
  it('sends newcomers to the other one, and tells them to come back when there is none', async () => {
    redis = await RedisServer.start();
    const env = { ...FLEET_ENV, ...standaloneEnv(redis), DRAIN_TIMEOUT: '10' };
    const [stopping, other] = [await startServer(env), await startServer(env)];
    await start([stopping]);
    const held = count(20).map(() => open('/sse/stream?channels=c'));
    await waitFor('the streams', () => held.every((s) => s.lastEventId !== ''));
    stopping.signal('SIGTERM');
    await waitFor('readiness to end', async () => (await stopping.readiness()) === 503);
    // A browser must not see the 503 of the last node.
    const answer = await through('/sse/stream?channels=c');
    expect([answer.status, answer.text]).toEqual([200, expect.stringContaining('event: reconnect')]);
    expect(answer.text).toContain('"unavailable"');

    await nginx.dispose();
    await start([stopping, other]);
    const newcomers = count(20).map(() => open('/sse/stream?channels=c'));
    await waitFor('the newcomers', () => newcomers.every((s) => s.lastEventId !== ''));
    expect(stopping.isRunning).toBe(true);
    expect(newcomers.map((s) => [s.opens, s.isFailed])).toEqual(newcomers.map(() => [1, false]));
  });
});

describe('nginx in front of three nodes', () => {
  it('spreads streams, and loses none of their messages by a reload, an upgrade or a crash', async () => {
    redis = await RedisServer.start();
    const env = { ...FLEET_ENV, ...standaloneEnv(redis) };
    const nodes = [await startServer(env), await startServer(env), await startServer(env)];
    await start(nodes);
    const own = count(STREAMS).map(() => open('/sse/stream?channels=c'));
    await waitFor('the streams', () => own.every((s) => s.lastEventId !== ''));
    const spread = await Promise.all(
      nodes.map(async (n) => (await Scrape.of(n.metricsPort)).sum('message_push_connections') ?? 0),
    );
    for (const connections of spread) expect(connections).toBeGreaterThan(STREAMS / 3 / 2);

    let sent = 0;
    let retries = 0;
    let isOver = false;
    const publishing = (async () => {
      while (!isOver) {
        const answer = await publish(sent).catch(() => undefined);
        if (answer?.status === 200) sent++;
        else retries++;
      }
    })();
    const progress = async (): Promise<void> => {
      const goal = sent + 50;
      await waitFor('messages to pass', () => sent >= goal, { timeoutMs: 60_000 });
    };
    await progress();
    const workers = nginx.workers();
    await nginx.reload();
    await progress();
    // The old workers keep their streams, so none had to reconnect.
    expect(own.map((s) => s.opens)).toEqual(own.map(() => 1));
    expect(nginx.workers().some((pid) => workers.includes(pid))).toBe(true);

    await nodes[0]?.stop();
    await nodes[0]?.start();
    await progress();
    await nodes[1]?.kill();
    await progress();
    await nodes[1]?.start();
    isOver = true;
    await publishing;
    await waitFor('all messages', () => own.every((s) => numbers(s).length >= sent), { timeoutMs: 60_000 });
    for (const stream of own) expect([stream.isFailed, numbers(stream)]).toEqual([false, count(sent)]);
    const moved = own.filter((s) => s.opens > 1).length;
    expect(moved).toBeLessThan(STREAMS);
    const reconnects = own.reduce((total, s) => total + s.opens - 1, 0);
    console.log(
      `${sent} messages on ${STREAMS} streams; ${moved} moved, by ${reconnects} reconnects; ${retries} publishes sent again`,
    );
    expect((await request(`${nodes[2]?.url}/sse/health`)).status).toBe(200);
  });
});
