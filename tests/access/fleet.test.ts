/** Three nodes on one Redis act as one service for limits and for revocations. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { probe } from '../support/access/access-probe.ts';
import {
  CLOSED_ENV,
  keyList,
  keyText,
  MASTER_KEY,
  makeJwt,
  secondsFromNow,
} from '../support/access/credentials.ts';
import { request, requestJson } from '../support/http/http.ts';
import { RedisServer } from '../support/redis/redis-server.ts';
import { standaloneEnv } from '../support/redis/service-env.ts';
import { TestServer } from '../support/service/server.ts';
import { StreamClient } from '../support/streams/stream-client.ts';
import { waitFor } from '../support/wait.ts';

const NODES = 3;
const API = '/sse/api/v1';
const asMaster = { 'x-api-key': MASTER_KEY };

let redis: RedisServer;
beforeAll(async () => {
  redis = await RedisServer.start();
});
afterAll(() => redis?.dispose());

function startNodes(env: Readonly<Record<string, string>>): Promise<TestServer[]> {
  const all = { ...standaloneEnv(redis), ...CLOSED_ENV, ...env };
  return Promise.all(Array.from({ length: NODES }, () => TestServer.start({ env: all })));
}

async function disposeAll(nodes: readonly TestServer[]): Promise<void> {
  await Promise.all(nodes.map((node) => node.dispose()));
}

describe('limits', () => {
  const REQUESTS = 600;
  const CONNECTS = 40;
  let nodes: TestServer[] = [];
  beforeAll(async () => {
    nodes = await startNodes({
      REDIS_KEY_PREFIX: 'rates:',
      API_KEYS: keyList([
        { name: 'one', scopes: ['read', 'publish'], channels: ['*'] },
        { name: 'two', scopes: ['read', 'publish'], channels: ['*'] },
      ]),
      ENABLE_RATE_LIMITING: 'true',
      // The window is longer than the test.
      RATE_LIMIT_WINDOW: '600',
      RATE_LIMIT_PER_MINUTE: String(REQUESTS / 10),
      RATE_LIMIT_CONNECTS_PER_MINUTE: String(CONNECTS / 10),
    });
  });
  afterAll(() => disposeAll(nodes));

  /** Asks `count` times, all nodes in turn and 32 at a time; returns how many requests were allowed. */
  async function passed(count: number, ask: (node: TestServer) => Promise<boolean>): Promise<number> {
    let next = 0;
    let allowed = 0;
    const worker = async (): Promise<void> => {
      while (next < count) {
        const node = nodes[next++ % NODES] as TestServer;
        if (await ask(node)) allowed++;
      }
    };
    await Promise.all(Array.from({ length: 32 }, worker));
    return allowed;
  }

  test('of requests hold for a key over all nodes together', async () => {
    const headers = { 'x-api-key': keyText('one') };
    const body = { type: 'info', service: 't', target: { user_id: '1' }, data: {} };
    const allowed = await passed(2 * REQUESTS, async (node) => {
      const { status } = await request(`${node.url}${API}/messages/send`, { headers, body });
      expect([200, 429]).toContain(status);
      return status === 200;
    });
    expect(Math.abs(allowed - REQUESTS)).toBeLessThanOrEqual(REQUESTS * 0.05);
  });

  test('name what is left and when to come back, on both lanes', async () => {
    for (const origin of [{}, { origin: 'https://app.example.com' }]) {
      const headers = { 'x-api-key': keyText('one'), ...origin };
      const body = { type: 'info', service: 't', target: { user_id: '1' }, data: {} };
      const answer = await request(`${nodes[0]?.url}${API}/messages/send`, { headers, body });
      expect(answer.status).toBe(429);
      expect(answer.headers).toMatchObject({
        'ratelimit-limit': String(REQUESTS),
        'ratelimit-remaining': '0',
      });
      expect(Number(answer.headers['retry-after'])).toBeGreaterThan(400);
    }
  });

  test('of one key are not those of another', async () => {
    const headers = { 'x-api-key': keyText('two') };
    const { status, headers: told } = await request(`${nodes[1]?.url}${API}/channels`, { headers });
    expect([status, told['ratelimit-remaining']]).toEqual([200, String(REQUESTS - 1)]);
  });

  test('of streams hold over all nodes, and tell an EventSource when to come back', async () => {
    const jwt = makeJwt({ sub: 'u' });
    const headers = { authorization: `Bearer ${jwt}` };
    const turnedAway: StreamClient[] = [];
    const allowed = await passed(2 * CONNECTS, async (node) => {
      const stream = new StreamClient({ port: node.port, path: '/sse/user/u', headers, reconnects: false });
      await waitFor('an answer', () => stream.events.length > 0);
      stream.close();
      const isOpen = stream.events[0]?.type === 'message';
      if (!isOpen) turnedAway.push(stream);
      return isOpen;
    });
    expect(Math.abs(allowed - CONNECTS)).toBeLessThanOrEqual(CONNECTS * 0.05);
    for (const { status, events, retryMs } of turnedAway) {
      expect([status, events[0]?.type]).toEqual([200, 'reconnect']);
      expect(events[0]?.data).toContain('rate_limited');
      expect(retryMs).toBeGreaterThan(400_000);
    }
  });
});

describe('a revocation', () => {
  let nodes: TestServer[] = [];
  const env = { REDIS_KEY_PREFIX: 'revoked:' };
  const streams: StreamClient[] = [];
  beforeAll(async () => {
    nodes = await startNodes(env);
  });
  afterAll(async () => {
    for (const stream of streams) stream.close();
    await disposeAll(nodes);
  });

  const open = async (node: TestServer | undefined, path: string, jwt?: string): Promise<StreamClient> => {
    const headers = jwt === undefined ? {} : { authorization: `Bearer ${jwt}` };
    const stream = new StreamClient({ port: node?.port ?? 0, path, headers, maxRetryMs: 50 });
    streams.push(stream);
    await stream.opened();
    return stream;
  };
  const ticketFor = async (body: object): Promise<{ ticket: string; ticket_id: string }> => {
    const url = `${nodes[0]?.url}${API}/tickets`;
    return (await requestJson<{ ticket: string; ticket_id: string }>(url, { body, headers: asMaster })).json;
  };
  const revoke = async (body: object, node = nodes[0]): Promise<void> => {
    const { status, text } = await request(`${node?.url}${API}/revocations`, { body, headers: asMaster });
    expect([status, text]).toEqual([200, expect.stringContaining('"success":true')]);
  };
  /** Expects that the stream was ended with an event, reconnected as an EventSource does, and was refused. */
  const isGone = async (stream: StreamClient): Promise<void> => {
    await waitFor('the end', () => stream.isFailed, { timeoutMs: 5000 });
    expect(stream.status).toBe(401);
    const end = stream.events.find(({ type }) => type === 'end');
    expect(end?.data).toContain('"revoked"');
  };

  test('of a user ends his streams on every node, and nobody else’s', async () => {
    const { ticket } = await ticketFor({ user_id: '7' });
    const jwt = makeJwt({ sub: '7' });
    const ended = [];
    const others = [];
    for (const node of nodes) {
      ended.push(await open(node, `/sse/user/7?ticket=${ticket}`), await open(node, '/sse/user/7', jwt));
      others.push(await open(node, '/sse/user/8', makeJwt({ sub: '8' })));
    }
    await revoke({ user_id: '7' });
    await Promise.all(ended.map(isGone));
    expect(others.map(({ ends }) => ends)).toEqual([0, 0, 0]);
    // Tickets made from now on are valid: a ticket records its time of creation to the millisecond.
    const { ticket: next } = await ticketFor({ user_id: '7' });
    await open(nodes[1], `/sse/user/7?ticket=${next}`);
  });

  test('of a ticket leaves the user’s others', async () => {
    const [first, second] = [await ticketFor({ user_id: '9' }), await ticketFor({ user_id: '9' })];
    const gone = await open(nodes[1], `/sse/user/9?ticket=${first.ticket}`);
    const stays = await open(nodes[1], `/sse/user/9?ticket=${second.ticket}`);
    await revoke({ token_id: first.ticket_id }, nodes[2]);
    await isGone(gone);
    expect(stays.ends).toBe(0);
  });

  test('of a stream on another node ends it with what it was opened with', async () => {
    const jwt = makeJwt({ sub: '10' });
    const stream = await open(nodes[2], '/sse/user/10', jwt);
    await revoke({ connection_id: stream.headers.get('x-connection-id') });
    await isGone(stream);
    const headers = { authorization: `Bearer ${jwt}` };
    for (const node of nodes) {
      await waitFor('a refusal', async () => {
        const { status } = await probe(node.port, { method: 'GET', path: '/sse/user/10', headers });
        return status === 401;
      });
    }
  });

  test('comes to nodes that do not hear the bus', async () => {
    const stream = await open(nodes[1], '/sse/user/11', makeJwt({ sub: '11' }));
    await redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await revoke({ user_id: '11' });
    await isGone(stream);
  });

  test('is known to a node that starts later, also when Redis has lost it meanwhile', async () => {
    const jwt = makeJwt({ sub: '12' });
    const headers = { authorization: `Bearer ${jwt}` };
    await revoke({ user_id: '12' });
    await redis.command('-n', '5', 'DEL', 'revoked:notes');
    await waitFor(
      'the notes',
      async () => (await redis.command('-n', '5', 'EXISTS', 'revoked:notes')).trim() === '1',
    );
    const late = await TestServer.start({ env: { ...standaloneEnv(redis), ...CLOSED_ENV, ...env } });
    try {
      const { status } = await probe(late.port, { method: 'GET', path: '/sse/user/12', headers });
      expect(status).toBe(401);
    } finally {
      await late.dispose();
    }
  });

  test('is refused while Redis is away, and counts where it was said', async () => {
    const jwt = makeJwt({ sub: '13' });
    const stream = await open(nodes[0], '/sse/user/13', jwt);
    redis.freeze();
    try {
      const { status } = await request(`${nodes[0]?.url}${API}/revocations`, {
        body: { user_id: '13' },
        headers: asMaster,
        timeoutMs: 30_000,
      });
      expect(status).toBe(503);
    } finally {
      redis.thaw();
    }
    await waitFor('the end', () => stream.events.some(({ type }) => type === 'end'));
  });
});

describe('a stream whose credential ends', () => {
  let nodes: TestServer[] = [];
  beforeAll(async () => {
    nodes = await startNodes({ REDIS_KEY_PREFIX: 'renewed:' });
  });
  afterAll(() => disposeAll(nodes));

  test('is told so, is carried on by way of any node, and ends when it is not', async () => {
    const [first, second] = nodes as [TestServer, TestServer];
    const headers = { authorization: `Bearer ${makeJwt({ sub: '7', exp: secondsFromNow(6) })}` };
    const stream = new StreamClient({ port: first.port, path: '/sse/user/7', headers, maxRetryMs: 50 });
    try {
      await stream.opened();
      const warning = await stream.event('a warning', ({ type }) => type === 'expiring');
      const { data } = JSON.parse(warning.data) as { data: { connection_id: string; expires_at: string } };
      const renew = (token: string): Promise<{ status: number; text: string }> =>
        request(`${second.url}${API}/connections/${data.connection_id}/renew`, {
          method: 'POST',
          headers: { authorization: `Bearer ${token}` },
        });
      expect((await renew(makeJwt({ sub: '8', channels: ['user:*'] }))).status).toBe(403);
      expect((await renew(MASTER_KEY)).status).toBe(403);
      const exp = secondsFromNow(10);
      const renewed = await renew(makeJwt({ sub: '7', exp }));
      expect(renewed.status).toBe(200);
      expect(JSON.parse(renewed.text)).toMatchObject({ expires_at: new Date(exp * 1000).toISOString() });
      const end = await stream.event('the end', ({ type }) => type === 'end', 20_000);
      expect(end.data).toContain('"expired"');
      expect(Date.now()).toBeGreaterThanOrEqual(exp * 1000);
      // It reconnects once with the expired credential and then stays away.
      await waitFor('a refusal', () => stream.isFailed);
      expect([stream.status, stream.opens]).toEqual([401, 1]);
    } finally {
      stream.close();
    }
  });
});
