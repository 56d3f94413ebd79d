/** TLS with several processes on one port: workers, and the instances of PM2. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { request, requestJson } from '../support/http/http.ts';
import { Scrape } from '../support/monitoring/metrics.ts';
import { freePort } from '../support/ports.ts';
import { RedisServer } from '../support/redis/redis-server.ts';
import { standaloneEnv } from '../support/redis/service-env.ts';
import { Pm2 } from '../support/service/pm2.ts';
import { TestServer } from '../support/service/server.ts';
import { TestAuthority, tlsEnv } from '../support/tls/certificates.ts';
import { Http2Client, type Http2EventStream } from '../support/tls/http2-client.ts';
import { waitFor } from '../support/wait.ts';

const PROCESSES = 2;
const CONNECTIONS = 20;

let authority: TestAuthority;
let env: Record<string, string>;
let redis: RedisServer;
const clients: Http2Client[] = [];

beforeAll(() => {
  authority = new TestAuthority();
  env = tlsEnv(authority.issue('own'));
});
beforeEach(async () => {
  redis = await RedisServer.start();
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await redis.dispose();
});
afterAll(() => authority?.dispose());

/** Opens a stream on each of many connections, so that every process has some; all get one message. */
async function serveEverywhere(url: string): Promise<Http2EventStream[]> {
  const streams = Array.from({ length: CONNECTIONS }, () => {
    const client = new Http2Client(url, authority.ca);
    clients.push(client);
    return client.open('/sse/user/p');
  });
  await Promise.all(streams.map((stream) => stream.opened()));
  const body = { type: 'info', service: 's', target: { user_id: 'p' }, data: { number: 1 } };
  await requestJson(`${url}/sse/api/v1/messages/send`, { body });
  await waitFor('a message on each', () => streams.every((stream) => stream.numbers().length === 1));
  return streams;
}

it('worker processes share the port and the certificate', async () => {
  const server = await TestServer.start({
    env: { ...env, ...standaloneEnv(redis), WORKER_THREADS: String(PROCESSES), DRAIN_TIMEOUT: '1' },
  });
  try {
    await waitFor(
      'all workers',
      async () => (await Scrape.of(server.metricsPort)).sum('message_push_worker_up') === PROCESSES,
    );
    const streams = await serveEverywhere(server.url);
    const scrape = await Scrape.of(server.metricsPort);
    for (let worker = 1; worker <= PROCESSES; worker++) {
      const labels = { worker: String(worker) };
      expect(scrape.sum('message_push_connections', labels)).toBeGreaterThan(0);
      const expiry = scrape.sum('message_push_certificate_expiry_timestamp_seconds', labels) ?? 0;
      expect(expiry).toBeGreaterThan(Date.now() / 1000);
    }
    server.signal('SIGTERM');
    await Promise.all(
      streams.map((stream) => stream.event('a farewell', ({ type }) => type === 'reconnect')),
    );
    expect(await server.exited()).toEqual({ code: 0, signal: null });
  } finally {
    await server.dispose();
  }
});

it('instances of PM2 share the port and the certificate, and a reload tells the streams', async () => {
  const pm2 = new Pm2();
  try {
    const port = await freePort();
    const url = `https://127.0.0.1:${port}`;
    const name = 'message-push-service';
    await pm2.start({
      name,
      instances: PROCESSES,
      env: {
        ...env,
        ...standaloneEnv(redis),
        SERVICE_PORT: String(port),
        ENABLE_METRICS: 'false',
        DRAIN_TIMEOUT: '1',
      },
    });
    const streams = await serveEverywhere(url);
    await pm2.reload(name);
    await Promise.all(
      streams.map((stream) => stream.event('a farewell', ({ type }) => type === 'reconnect')),
    );
    expect((await request(`${url}/sse/health/ready`)).status).toBe(200);
  } finally {
    await pm2.dispose();
  }
});
