import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { type AccessQuestion, AccessWebhook } from './access-webhook.ts';

const QUESTION: AccessQuestion = { userId: '7', channels: ['user:7', 'task:1'], clientIp: '10.0.0.1' };

let server: Server | undefined;
let requests: { method: string | undefined; authorization: string | undefined; body: unknown }[] = [];

async function application(answer: RequestListener, more: { cacheMs?: number; timeoutMs?: number } = {}) {
  requests = [];
  server = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk) => {
      text += chunk;
    });
    request.on('end', () => {
      requests.push({
        method: request.method,
        authorization: request.headers.authorization,
        body: JSON.parse(text),
      });
      answer(request, response);
    });
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  const clock = { now: 1_800_000_000_000 };
  const errors: string[] = [];
  const webhook = new AccessWebhook({
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/may-join`,
    secret: 'hook-secret',
    timeoutMs: 5000,
    cacheMs: 10_000,
    now: () => clock.now,
    onError: ({ message }) => errors.push(message),
    ...more,
  });
  return { webhook, clock, errors };
}
afterEach(async () => {
  server?.closeAllConnections();
  await new Promise((resolve) => (server === undefined ? resolve(undefined) : server.close(resolve)));
  server = undefined;
});
const saying =
  (text: string, status = 200): RequestListener =>
  (_, response) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(text);

describe('the application', () => {
  test('is told who asks for what, from where, and by whom', async () => {
    const { webhook } = await application(saying('{"allow":true}'));
    await webhook.ask(QUESTION);
    await webhook.ask({ ...QUESTION, userId: undefined });
    expect(requests).toEqual([
      {
        method: 'POST',
        authorization: 'Bearer hook-secret',
        body: { user_id: '7', channels: ['user:7', 'task:1'], client_ip: '10.0.0.1' },
      },
      expect.objectContaining({ body: expect.objectContaining({ user_id: null }) }),
    ]);
  });

  test.each<[string, boolean, string[] | undefined]>([
    ['{"allow":true}', true, undefined],
    ['{"allow":false}', false, undefined],
    ['{"allow":true,"channels":["task:*","news"],"more":1}', true, ['channel:news', 'task:*']],
    ['{"allow":true,"channels":[]}', true, []],
    ['{"allow":true,"channels":null}', true, undefined],
  ])('answers %s', async (text, isAllowed, channels) => {
    const { webhook } = await application(saying(text));
    const answer = await webhook.ask(QUESTION);
    expect([answer.isAllowed, answer.channels?.toPatterns()]).toEqual([isAllowed, channels]);
  });

  test('is asked the same once while its answer counts, whatever it was', async () => {
    const { webhook, clock } = await application(saying('{"allow":false}'));
    await Promise.all([webhook.ask(QUESTION), webhook.ask(QUESTION)]);
    clock.now += 9999;
    await webhook.ask(QUESTION);
    expect(requests).toHaveLength(1);
    await webhook.ask({ ...QUESTION, channels: ['user:7'] });
    await webhook.ask({ ...QUESTION, userId: '8' });
    await webhook.ask({ ...QUESTION, clientIp: '10.0.0.2' });
    expect(requests).toHaveLength(4);
    clock.now += 1;
    await webhook.ask(QUESTION);
    expect(requests).toHaveLength(5);
  });

  test('may be asked each time', async () => {
    const { webhook } = await application(saying('{"allow":true}'), { cacheMs: 0 });
    await webhook.ask(QUESTION);
    await webhook.ask(QUESTION);
    expect(requests).toHaveLength(2);
  });
});

describe('refuses, and does not remember it, when the application', () => {
  test.each<[string, RequestListener, RegExp]>([
    ['answers 500', saying('{"allow":true}', 500), /status 500/],
    ['answers 204', (_, response) => response.writeHead(204).end(), /status 204/],
    ['leads elsewhere', (_, r) => r.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(), /status 302/],
    ['says no JSON', saying('yes'), /JSON/],
    ['says nothing', saying(''), /JSON/],
    ['says null', saying('null'), /not a JSON object/],
    ['says no allow', saying('{}'), /allow in the answer/],
    ['says allow in text', saying('{"allow":"true"}'), /allow in the answer/],
    ['lists channels that are none', saying('{"allow":true,"channels":["a*b"]}'), /channels in the answer/],
    ['says too much', saying(`{"allow":true,"x":"${'x'.repeat(70_000)}"}`), /more than 65536 bytes/],
    ['hangs up', (request) => request.socket.destroy(), /./],
  ])('%s', async (_, answer, reason) => {
    const { webhook, errors } = await application(answer);
    for (let i = 0; i < 2; i++) {
      await expect(webhook.ask(QUESTION)).rejects.toMatchObject({ code: 'authorization_unavailable' });
    }
    expect(requests).toHaveLength(2);
    expect(errors).toEqual([expect.stringMatching(reason), expect.stringMatching(reason)]);
  });

  test('takes too long', async () => {
    const { webhook } = await application(() => undefined, { timeoutMs: 50 });
    await expect(webhook.ask(QUESTION)).rejects.toMatchObject({ code: 'authorization_unavailable' });
  });

  test('has too many questions before it', async () => {
    const webhook = new AccessWebhook({
      url: 'http://app.example.com/',
      secret: undefined,
      timeoutMs: 5000,
      cacheMs: 0,
      now: () => 0,
      onError: () => undefined,
      fetch: () => new Promise(() => undefined),
    });
    for (let i = 0; i < 1000; i++) void webhook.ask({ ...QUESTION, userId: String(i) });
    await expect(webhook.ask({ ...QUESTION, userId: 'x' })).rejects.toMatchObject({
      code: 'authorization_unavailable',
    });
  });
});
