import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, expect, test, vi } from 'vitest';
import { GatewayRegistrar, type GatewayRegistrarOptions } from './gateway-registrar.ts';

const WAIT = { timeout: 10_000, interval: 5 };

let gateway: Server | undefined;
let registrar: GatewayRegistrar | undefined;
afterEach(() => {
  registrar?.stop();
  gateway?.closeAllConnections();
  gateway?.close();
  gateway = undefined;
});

interface Asked {
  readonly request: IncomingMessage;
  readonly body: string;
}

/** Answers the n-th request, from 1, with `status(n)`; not at all when that is `undefined`. */
async function openGateway(
  status: (n: number) => number | undefined,
): Promise<{ port: number; asked: Asked[] }> {
  const asked: Asked[] = [];
  gateway = createServer((request, response) => {
    void text(request).then((body) => {
      asked.push({ request, body });
      const answer = status(asked.length);
      if (answer !== undefined) response.writeHead(answer, { location: '/elsewhere' }).end('{}');
    });
  });
  gateway.listen(0, '127.0.0.1');
  await once(gateway, 'listening');
  return { port: (gateway.address() as AddressInfo).port, asked };
}

function start(
  url: string,
  changes: Partial<GatewayRegistrarOptions> = {},
): { level: string; line: object }[] {
  const lines: { level: string; line: object }[] = [];
  const at = (level: string) => (line: object, message: string) =>
    lines.push({ level, line: { ...line, message } });
  registrar = new GatewayRegistrar({
    url,
    body: '{"service_name":"push"}',
    intervalMs: undefined,
    log: {
      debug: at('debug'),
      info: at('info'),
      warn: at('warn'),
    } as unknown as GatewayRegistrarOptions['log'],
    random: () => 0,
    firstRetryMs: 2,
    ...changes,
  });
  registrar.start();
  return lines;
}

test('a gateway gets the registration as JSON, with the credentials of its URL in a header only', async () => {
  const { port, asked } = await openGateway(() => 201);
  const lines = start(`http://us%20er:p%zz@127.0.0.1:${port}/services?zone=a`);
  await vi.waitFor(() => expect(lines).toHaveLength(1), WAIT);
  const [first] = asked;
  expect(first?.body).toBe('{"service_name":"push"}');
  expect(first?.request).toMatchObject({ method: 'POST', url: '/services?zone=a' });
  expect(first?.request.headers).toMatchObject({
    'content-type': 'application/json',
    authorization: `Basic ${Buffer.from('us er:p%zz').toString('base64')}`,
  });
  expect(lines[0]).toMatchObject({ level: 'info', line: { message: 'registered at the gateway' } });
  expect(JSON.stringify(lines)).not.toContain('p%zz');
});

test('refusals are tried again and are one warning, and their end is said', async () => {
  const answers = [500, 302, 404, 200];
  const { port, asked } = await openGateway((n) => answers[n - 1] ?? 200);
  const lines = start(`http://127.0.0.1:${port}/`);
  await vi.waitFor(() => expect(lines.at(-1)?.level).toBe('info'), WAIT);
  expect(lines.map(({ level }) => level)).toEqual(['warn', 'debug', 'debug', 'info']);
  expect(lines[0]?.line).toMatchObject({ reason: 'it answered 500' });
  expect(lines.at(-1)?.line).toMatchObject({ failedAttempts: 3 });
  expect(asked).toHaveLength(4);
});

test('a gateway that does not answer is given up in time, and one that nobody serves is named', async () => {
  const { port } = await openGateway((n) => (n === 1 ? undefined : 200));
  const lines = start(`http://127.0.0.1:${port}/`, { timeoutMs: 50 });
  await vi.waitFor(() => expect(lines.at(-1)?.level).toBe('info'), WAIT);
  expect(lines[0]?.line).toMatchObject({ reason: expect.stringContaining('timeout') });
  registrar?.stop();
  gateway?.closeAllConnections();
  gateway?.close();
  const refused = start(`http://127.0.0.1:${port}/`);
  await vi.waitFor(
    () => expect(refused[0]?.line).toMatchObject({ reason: expect.stringContaining('ECONNREFUSED') }),
    WAIT,
  );
});

test('a registration is repeated, quietly', async () => {
  const { port, asked } = await openGateway(() => 200);
  const lines = start(`http://127.0.0.1:${port}/`, { intervalMs: 5 });
  await vi.waitFor(() => expect(asked.length).toBeGreaterThan(3), WAIT);
  expect(lines.filter(({ level }) => level !== 'debug')).toHaveLength(1);
});

test('stopping ends an attempt that is under way, without a word', async () => {
  const { port, asked } = await openGateway(() => undefined);
  const lines = start(`http://127.0.0.1:${port}/`);
  await vi.waitFor(() => expect(asked).toHaveLength(1), WAIT);
  const closed = once(asked[0]?.request.socket as NodeJS.EventEmitter, 'close');
  registrar?.stop();
  await closed;
  expect(lines).toEqual([]);
});
