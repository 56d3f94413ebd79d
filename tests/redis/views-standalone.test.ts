/** Cluster views on one Redis server. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requestJson } from '../support/http/http.ts';
import { describeViews } from '../support/redis/describe-views.ts';
import { RedisServer } from '../support/redis/redis-server.ts';
import { standaloneEnv } from '../support/redis/service-env.ts';
import { TestServer } from '../support/service/server.ts';
import { StreamClient } from '../support/streams/stream-client.ts';
import { waitFor } from '../support/wait.ts';

let redis: RedisServer;
beforeAll(async () => {
  redis = await RedisServer.start();
});
afterAll(() => redis.dispose());

describeViews('nodes on one server', () => standaloneEnv(redis));

describe('a Redis that was away', () => {
  let nodes: TestServer[] = [];
  let streams: StreamClient[] = [];
  const reach = async (node: TestServer): Promise<number> => {
    const body = { type: 'info', service: 'test', target: { user_id: 'u' }, data: {} };
    const url = `${node.url}/sse/api/v1/messages/send`;
    const { json } = await requestJson<{ sent_to_connections: number }>(url, { body });
    return json.sent_to_connections;
  };
  const reachesAll = async (): Promise<void> => {
    for (const node of nodes) await waitFor('a reach of 4', async () => (await reach(node)) === 4);
  };
  const isRefused = async (node: TestServer): Promise<boolean> => {
    const stream = new StreamClient({ port: node.port, path: '/sse/user/u', reconnects: false });
    await waitFor('an answer', () => stream.events.length > 0);
    stream.close();
    return stream.events.some(({ data }) => data.includes('too_many_connections_of_user'));
  };

  beforeAll(async () => {
    const env = { ...standaloneEnv(redis), REDIS_KEY_PREFIX: 'away:', MAX_CONNECTIONS_PER_USER: '4' };
    nodes = await Promise.all([TestServer.start({ env }), TestServer.start({ env })]);
    streams = [0, 0, 1, 1].map((i) => new StreamClient({ port: nodes[i]?.port ?? 0, path: '/sse/user/u' }));
    for (const stream of streams) await stream.opened();
    await reachesAll();
  });
  afterAll(async () => {
    for (const stream of streams) stream.close();
    for (const node of nodes) await node.dispose();
  });

  it('and has lost everything is told again what every node has', async () => {
    await redis.restart({ isEmptied: true });
    await reachesAll();
    // Nodes tell it their users' streams apart from the channels that they have joined, perhaps a moment later.
    for (const node of nodes) await waitFor('a refusal', () => isRefused(node));
  });

  it('is told again without a new connection', async () => {
    await redis.command('-n', '5', 'FLUSHDB');
    await reachesAll();
    // Nodes tell it their users' streams apart from the channels that they have joined, perhaps a moment later.
    for (const node of nodes) await waitFor('a refusal', () => isRefused(node));
  });

  it('leaves a node its own streams to show', async () => {
    redis.freeze();
    try {
      const url = `${nodes[0]?.url}/sse/api/v1/connections`;
      const { status, json } = await requestJson<{ total_connections: number }>(url);
      expect(status).toBe(200);
      expect(json).toMatchObject({ total_connections: 2, nodes: { answered: 1, known: 2 } });
    } finally {
      redis.thaw();
    }
    await reachesAll();
    expect(streams.map((s) => s.ends)).toEqual([0, 0, 0, 0]);
  });
});
