/** The gateway learns of the service even after failures, and the service works whatever the gateway does. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, expect, it } from 'vitest';
import { TestPublisher } from '../support/messages/publisher.ts';
import { freePort } from '../support/ports.ts';
import { RedisServer } from '../support/redis/redis-server.ts';
import { standaloneEnv } from '../support/redis/service-env.ts';
import { TestServer } from '../support/service/server.ts';
import { waitFor } from '../support/wait.ts';

class Gateway {
  readonly #server: Server;
  /** Bodies of the requests that it received. */
  readonly asked: Record<string, unknown>[] = [];
  /** `undefined` when it accepts requests and never answers. */
  status: number | undefined = 200;

  private constructor() {
    this.#server = createServer((request, response) => {
      void text(request).then((body) => {
        this.asked.push(JSON.parse(body) as Record<string, unknown>);
        if (this.status !== undefined) response.writeHead(this.status).end('{"ok":true}');
      });
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  static async listen(port: number): Promise<Gateway> {
    const gateway = new Gateway();
    gateway.#server.listen(port, '127.0.0.1');
    await once(gateway.#server, 'listening');
    return gateway;
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}

let server: TestServer | undefined;
let redis: RedisServer | undefined;
let gateway: Gateway | undefined;
afterEach(async () => {
  await server?.dispose();
  await gateway?.close();
  await redis?.dispose();
  server = undefined;
  gateway = undefined;
  redis = undefined;
});

function linesWith(output: string, message: string): string[] {
  return output.split('\n').filter((line) => line.includes(message));
}

it('a gateway that is down, comes up, fails and restarts has the service each time it serves', async () => {
  const port = await freePort();
  const url = `http://gate:hush-hush@127.0.0.1:${port}/services/register`;
  server = await TestServer.start({
    env: {
      GATEWAY_SERVICE_URL: url,
      GATEWAY_REGISTER_INTERVAL: '1',
      SERVICE_PUBLIC_URL: 'https://push.example.com/',
      SERVICE_NAME: 'push-of-the-test',
      LOG_LEVEL: 'INFO',
    },
  });
  const running = server;
  const warnings = () => linesWith(running.output, 'the gateway did not accept the registration');
  const successes = () => linesWith(running.output, 'registered at the gateway');
  await waitFor('a warning', () => warnings().length === 1);

  gateway = await Gateway.listen(port);
  const first = await waitFor('the first registration', () => gateway?.asked[0]);
  expect(first).toMatchObject({
    service_name: 'push-of-the-test',
    port: running.port,
    url: 'https://push.example.com',
    health_url: 'https://push.example.com/sse/health',
    endpoints: { send: '/sse/api/v1/messages/send' },
  });
  await waitFor('the end of the outage in the log', () => successes().length === 1);

  gateway.status = 500;
  await waitFor('a second warning', () => warnings().length === 2);
  gateway.status = 200;
  await waitFor('the end of the failures in the log', () => successes().length === 2);

  await gateway.close();
  gateway = await Gateway.listen(port);
  expect(await waitFor('a registration after a restart', () => gateway?.asked[0])).toEqual(first);

  gateway.status = undefined;
  const asked = gateway.asked.length;
  await waitFor('an attempt that gets no answer', () => (gateway?.asked.length ?? 0) > asked);
  const publisher = new TestPublisher(running.url);
  await publisher.send({ type: 'info', service: 'test', target: { channel: 'c' }, data: {} });
  publisher.close();
  expect(running.output).not.toContain('hush-hush');
  const startedMs = performance.now();
  expect(await running.stop()).toEqual({ code: 0, signal: null });
  expect(performance.now() - startedMs).toBeLessThan(4000);
});

it('of several processes on one port one registers', async () => {
  redis = await RedisServer.start();
  gateway = await Gateway.listen(0);
  const { port } = gateway;
  server = await TestServer.start({
    env: {
      ...standaloneEnv(redis),
      WORKER_THREADS: '3',
      GATEWAY_SERVICE_URL: `http://127.0.0.1:${port}`,
      GATEWAY_REGISTER_INTERVAL: '0',
    },
  });
  const listening = server.port;
  await waitFor('the registration', () => gateway?.asked[0]);
  await server.stop();
  expect(gateway.asked.map((body) => [body['port'], body['url']])).toEqual([
    [listening, `http://127.0.0.1:${listening}`],
  ]);
});

it.each([
  ['GATEWAY_SERVICE_URL', 'gateway.example.com', 'must be a URL that starts with http:// or https://'],
  ['SERVICE_PUBLIC_URL', 'https://me:secret@push.example.com', 'without a user, query or fragment'],
])('%s=%s stops the start by name', async (variable, value, problem) => {
  const start = TestServer.start({ env: { GATEWAY_SERVICE_URL: 'http://gateway', [variable]: value } });
  const error = await start.then(
    () => undefined,
    (reason: Error) => reason.message,
  );
  expect(error).toContain(variable);
  expect(error).toContain(problem);
  expect(error).not.toContain('secret@');
});
