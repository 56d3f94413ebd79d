/** The read and management API over a real socket: connections, channels, health, documentation and metrics. */
import { execFileSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { request, requestJson } from '../support/http/http.ts';
import { TestPublisher } from '../support/messages/publisher.ts';
import { TestServer } from '../support/service/server.ts';
import { StreamClient } from '../support/streams/stream-client.ts';
import { waitFor } from '../support/wait.ts';

let server: TestServer;
const clients: StreamClient[] = [];
beforeAll(async () => {
  server = await TestServer.start();
  const publisher = new TestPublisher(server.url);
  for (let n = 1; n <= 5; n++) {
    await publisher.send({
      id: `h${n}`,
      type: 'status',
      service: 'test',
      target: { kb_id: 'a/b' },
      data: { n },
    });
  }
  publisher.close();
});
afterAll(() => server.dispose());
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await waitFor(
    'all streams to be gone',
    async () => (await get<Stats>('/sse/api/v1/connections/stats')).stats.total_connections === 0,
  );
});

interface Stats {
  readonly stats: {
    readonly total_connections: number;
    readonly connections_created: number;
    readonly connections_closed: number;
  };
}
interface Listing {
  readonly total_connections: number;
  readonly connections: readonly { readonly connection_id: string; readonly user_id: string | null }[];
}

async function open(path: string): Promise<{ client: StreamClient; id: string }> {
  const client = new StreamClient({ port: server.port, path, reconnects: false });
  clients.push(client);
  await client.opened();
  return { client, id: client.headers.get('x-connection-id') ?? '' };
}

async function get<T>(path: string, status = 200): Promise<T> {
  const answer = await requestJson<T>(server.url + path);
  expect(answer.status, answer.text).toBe(status);
  return answer.json;
}

describe('connections', () => {
  it('are listed, by user too, the oldest first', async () => {
    const first = await open('/sse/user/1?session_id=s');
    const second = await open('/sse/task/9');
    const all = await get<Listing>('/sse/api/v1/connections');
    expect(all).toEqual({
      success: true,
      total_connections: 2,
      nodes: { answered: 1, known: 1 },
      connections: [
        {
          connection_id: first.id,
          user_id: '1',
          session_id: 's',
          channels: ['user:1', 'session:s', 'broadcast', `connection:${first.id}`],
          connected_at: expect.stringMatching(/Z$/),
          last_heartbeat: expect.stringMatching(/Z$/),
          client_ip: '127.0.0.1',
          queue_size: 0,
          unsent_bytes: 0,
          state: 'live',
        },
        expect.objectContaining({ connection_id: second.id, user_id: null }),
      ],
    });
    expect(await get<Listing>('/sse/api/v1/connections?user_id=1')).toMatchObject({ total_connections: 1 });
    const limited = await get<Listing>('/sse/api/v1/connections?limit=1');
    expect(limited.total_connections).toBe(2);
    expect(limited.connections.map((c) => c.connection_id)).toEqual([first.id]);
    expect(await get('/sse/api/v1/connections?limit=0', 422)).toMatchObject({
      details: [{ field: 'query.limit' }],
    });
  });

  it('are counted', async () => {
    await open('/sse/user/1');
    await open('/sse/user/1');
    const { stats } = await get<Stats>('/sse/api/v1/connections/stats');
    expect(stats).toEqual({
      total_connections: 2,
      active_connections: 2,
      messages_sent: expect.any(Number),
      messages_failed: 0,
      connections_created: expect.any(Number),
      connections_closed: expect.any(Number),
      total_channels: expect.any(Number),
      connections_by_user: { 1: 2 },
      uptime_seconds: expect.any(Number),
      average_queue_size: 0,
    });
    expect(stats.connections_created - stats.connections_closed).toBe(2);
  });

  it('are ended by an operator', async () => {
    const { client, id } = await open('/sse/user/1');
    const other = await open('/sse/user/1');
    const answer = await requestJson(`${server.url}/sse/api/v1/connections/${id}`, { method: 'DELETE' });
    expect(answer).toMatchObject({
      status: 200,
      json: { success: true, message: expect.stringContaining(id) },
    });
    const end = await client.event('the end', (e) => e.type === 'end');
    expect(JSON.parse(end.data)).toMatchObject({ type: 'end', data: { reason: 'kicked' } });
    await client.ended();
    expect(other.client.isOpen).toBe(true);
    const again = await requestJson(`${server.url}/sse/api/v1/connections/${id}`, { method: 'DELETE' });
    expect(again).toMatchObject({
      status: 404,
      json: { error: true, status_code: 404, code: 'connection_not_found' },
    });
  });
});

describe('channels', () => {
  const path = `/sse/api/v1/channels/${encodeURIComponent('kb:a/b')}`;

  it('have a history, in pages and both ways', async () => {
    const all = await get<{ epoch: string }>(`${path}/history`);
    const entry = (n: number): object => ({
      offset: n,
      timestamp: expect.any(String),
      message: expect.objectContaining({ id: `h${n}`, type: 'status', data: { n } }),
    });
    expect(all).toEqual({
      success: true,
      channel: 'kb:a/b',
      epoch: expect.stringMatching(/^[0-9a-z]{8}$/),
      first_offset: 1,
      last_offset: 5,
      floor: 0,
      has_more: false,
      next: null,
      messages: [1, 2, 3, 4, 5].map(entry),
    });
    expect(await get(`${path}/history?from=2&limit=2`)).toMatchObject({
      messages: [entry(2), entry(3)],
      has_more: true,
      next: 4,
    });
    expect(await get(`${path}/history?reverse=true&limit=2`)).toMatchObject({
      messages: [entry(5), entry(4)],
      has_more: true,
      next: 3,
    });
    expect(await get(`${path}/history?from=2&to=4&reverse=true`)).toMatchObject({
      messages: [entry(4), entry(3), entry(2)],
      has_more: false,
    });
    expect(await get(`${path}/history?from=4&to=2`, 422)).toMatchObject({
      details: [{ field: 'query.from' }],
    });
    expect(await get(`${path}/history?limit=x`, 422)).toMatchObject({ details: [{ field: 'query.limit' }] });
    expect(await get('/sse/api/v1/channels/never/history')).toMatchObject({
      channel: 'channel:never',
      first_offset: null,
      last_offset: 0,
      messages: [],
    });
    expect(await get('/sse/api/v1/channels/connection:x/history', 422)).toMatchObject({
      details: [{ field: 'path.channel' }],
    });
  });

  it('have streams and users', async () => {
    const one = await open('/sse/user/1?channels=kb:a/b');
    const two = await open('/sse/user/1?channels=kb:a/b');
    const three = await open('/sse/stream?channels=kb:a/b');
    const joined = await get<{ connections: { connection_id: string }[] }>(`${path}/connections`);
    expect(joined).toMatchObject({ success: true, channel: 'kb:a/b', connection_count: 3 });
    expect(joined.connections.map((c) => c.connection_id)).toEqual([one.id, two.id, three.id]);
    expect(await get(`${path}/presence`)).toEqual({
      success: true,
      channel: 'kb:a/b',
      user_count: 1,
      connection_count: 3,
      users: [
        { user_id: '1', connections: 2, since: expect.any(String) },
        { user_id: null, connections: 1, since: expect.any(String) },
      ],
      nodes: { answered: 1, known: 1 },
      complete: true,
    });
  });

  it('are listed, with history or with streams', async () => {
    await open('/sse/stream?channels=listed');
    const list = await get<{ channels: { channel: string }[] }>('/sse/api/v1/channels');
    expect(list).toMatchObject({ success: true, has_more: false, next: null });
    const of = (name: string): object | undefined => list.channels.find((c) => c.channel === name);
    expect(of('channel:listed')).toMatchObject({ connection_count: 1, messages: 0, last_offset: 0 });
    expect(of('kb:a/b')).toMatchObject({
      connection_count: 0,
      messages: 5,
      last_offset: 5,
      epoch: expect.any(String),
    });
    expect(await get('/sse/api/v1/channels?prefix=kb:')).toMatchObject({ channels: [{ channel: 'kb:a/b' }] });
    const page = await get<{ next: string }>('/sse/api/v1/channels?limit=1');
    expect(page).toMatchObject({ has_more: true });
    const next = await get<{ channels: { channel: string }[] }>(
      `/sse/api/v1/channels?limit=100&after=${encodeURIComponent(page.next)}`,
    );
    expect(next.channels.map((c) => c.channel)).toEqual(list.channels.slice(1).map((c) => c.channel));
  });
});

describe('the service', () => {
  it('says how it is', async () => {
    expect(await get('/sse/health')).toMatchObject({
      status: 'healthy',
      service: 'message-push-service',
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      timestamp: expect.any(String),
      connection_manager: { status: 'healthy', active_connections: 0, total_channels: expect.any(Number) },
      message_queue: { status: 'healthy', type: 'embedded' },
    });
    expect(await get('/sse/health/live')).toMatchObject({ status: 'alive' });
    expect(await get('/sse/health/ready')).toMatchObject({ status: 'ready' });
  });

  it('says what it is', async () => {
    expect(await get('/')).toEqual({
      service: 'message-push-service',
      version: expect.any(String),
      status: 'running',
      environment: 'development',
      port: server.port,
      docs_url: '/docs',
      description: expect.any(String),
      features: expect.any(Array),
      endpoints: expect.objectContaining({ health: '/sse/health' }),
    });
  });

  it('is documented, every route of the contract', async () => {
    const document = await get<{ openapi: string; paths: Record<string, Record<string, unknown>> }>(
      '/openapi.json',
    );
    expect(document.openapi).toMatch(/^3\.1/);
    const routes = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(routes.toSorted()).toEqual(
      expect.arrayContaining([
        'DELETE /sse/api/v1/connections/{connection_id}',
        'GET /',
        'GET /sse/api/v1/channels',
        'GET /sse/api/v1/channels/{channel}/connections',
        'GET /sse/api/v1/channels/{channel}/history',
        'GET /sse/api/v1/channels/{channel}/presence',
        'GET /sse/api/v1/connections',
        'GET /sse/api/v1/connections/stats',
        'GET /sse/health',
        'GET /sse/health/live',
        'GET /sse/health/ready',
        'GET /sse/service/{service_name}',
        'GET /sse/stream',
        'GET /sse/task/{task_id}',
        'GET /sse/user/{user_id}',
        'POST /sse/api/v1/messages/batch',
        'POST /sse/api/v1/messages/broadcast',
        'POST /sse/api/v1/messages/send',
      ]),
    );
    for (const path of ['/docs', '/redoc']) {
      let answer = await request(server.url + path);
      for (let hops = 0; hops < 3 && answer.status >= 300 && answer.status < 400; hops++) {
        answer = await request(new URL(answer.headers.location ?? '', server.url + path).href);
      }
      expect(answer.status).toBe(200);
      expect(answer.headers['content-type']).toContain('text/html');
    }
  });

  it('answers what is not there, and what is there with another method', async () => {
    expect(await get('/nowhere', 404)).toMatchObject({
      error: true,
      status_code: 404,
      code: 'not_found',
      path: '/nowhere',
    });
    const answer = await requestJson(`${server.url}/sse/health`, { method: 'DELETE' });
    expect(answer).toMatchObject({ status: 405, json: { code: 'method_not_allowed' } });
    expect(answer.headers.allow).toBe('GET, HEAD, OPTIONS');
    const head = await request(`${server.url}/sse/health`, { method: 'HEAD' });
    expect(head).toMatchObject({ status: 200, text: '' });
  });
});

describe('metrics', () => {
  it('are served on a port of their own, at both paths, and promtool has nothing to say about them', async () => {
    const stream = await open('/sse/user/metrics?since=all');
    const publisher = new TestPublisher(server.url);
    await publisher.send({ type: 'info', service: 'test', target: { user_id: 'metrics' }, data: {} });
    await publisher.send({ type: 'info', service: 'test', target: {}, data: {} });
    publisher.close();
    await stream.client.event('the message', (e) => e.type === 'info');
    const url = `http://127.0.0.1:${server.metricsPort}`;
    const [one, two] = await Promise.all([request(`${url}/sse/metrics`), request(`${url}/metrics`)]);
    expect([one.status, two.status]).toEqual([200, 200]);
    expect(one.headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/);
    const names = (text: string): string[] => [...text.matchAll(/^# TYPE (\S+)/gm)].map((m) => m[1] ?? '');
    expect(names(one.text)).toEqual(names(two.text));
    expect(names(one.text).filter((name) => !/^(message_push|process|nodejs)_/.test(name))).toEqual([]);
    expect(one.text).toMatch(/^message_push_deliveries_total(?:\{.*\})? [1-9]/m);
    expect((await request(`${server.url}/sse/metrics`)).status).toBe(404);
    expect((await request(`${url}/other`)).status).toBe(404);
    let said: string;
    try {
      said = execFileSync('promtool', ['check', 'metrics'], { input: one.text, encoding: 'utf8' });
    } catch (error) {
      const { code, stdout = '', stderr = '' } = error as { code?: string; stdout?: string; stderr?: string };
      if (code !== 'ENOENT') throw new Error(`promtool: ${stdout}${stderr}`, { cause: error });
      console.log('metrics: promtool is not installed here, the text was not checked by it');
      return;
    }
    expect(said).toBe('');
  });
});
