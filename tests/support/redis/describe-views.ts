/** The suite of cluster views: what nodes on one Redis report about the streams of all nodes, on any kind of Redis. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { request, requestJson } from '../http/http.ts';
import { TestServer } from '../service/server.ts';
import { StreamClient } from '../streams/stream-client.ts';
import { waitFor } from '../wait.ts';

type Env = Readonly<Record<string, string>>;
type Target = Readonly<Record<string, string>>;

interface NodeTally {
  readonly answered: number;
  readonly known: number;
}

interface Listing {
  readonly total_connections: number;
  readonly connections: readonly { readonly connection_id: string; readonly user_id: string | null }[];
  readonly nodes?: NodeTally;
}

const LIMIT = 10;
/** The time after which a killed node is gone from all views. */
const VANISHED_MS = 6000;
const CONNECTIONS = '/sse/api/v1/connections';

/** `env` is called once the Redis runs. */
export function describeViews(name: string, env: () => Env): void {
  describe(name, () => {
    let nodes: TestServer[] = [];
    let streams: StreamClient[] = [];
    let names = 0;

    const startNode = (): Promise<TestServer> =>
      TestServer.start({
        env: { MAX_CONNECTIONS_PER_USER: String(LIMIT), CHANNEL_RETENTION_DAYS: '1', ...env() },
      });

    beforeAll(async () => {
      nodes = await Promise.all([startNode(), startNode(), startNode()]);
      await knownEverywhere(3);
    });
    afterEach(async () => {
      for (const stream of streams.splice(0)) stream.close();
      await waitFor('the end of all streams', async () => (await list('')).total_connections === 0);
    });
    afterAll(async () => {
      for (const node of nodes) await node.dispose();
    });

    const node = (index: number): TestServer => nodes[index] as TestServer;
    /** A name that no other test uses. */
    const fresh = (): string => `name-${++names}`;
    const get = async <T>(path: string, from = node(0)): Promise<T> => {
      const answer = await requestJson<T>(`${from.url}${path}`);
      expect(answer.status, answer.text).toBe(200);
      return answer.json;
    };
    const list = (query: string, from = node(0)): Promise<Listing> => get(`${CONNECTIONS}${query}`, from);

    function connect(on: TestServer, path: string): StreamClient {
      const stream = new StreamClient({ port: on.port, path, reconnects: false });
      streams.push(stream);
      return stream;
    }

    async function open(on: TestServer, path: string): Promise<string> {
      const stream = connect(on, path);
      await stream.opened();
      return stream.headers.get('x-connection-id') ?? '';
    }

    async function knownEverywhere(count: number): Promise<void> {
      for (const each of nodes.filter((n) => n.isRunning)) {
        await waitFor(`${count} nodes`, async () => {
          const { nodes: tally } = await list('', each);
          return tally?.known === count && tally.answered === count;
        });
      }
    }

    async function reach(from: TestServer, target: Target): Promise<number> {
      const body = { type: 'info', service: 'test', target, data: {} };
      return sentTo(await requestJson(`${from.url}/sse/api/v1/messages/send`, { body }));
    }

    async function reachAll(from: TestServer, exclude?: readonly string[]): Promise<number> {
      const body = { type: 'info', service: 'test', data: {}, exclude_connections: exclude ?? null };
      return sentTo(await requestJson(`${from.url}/sse/api/v1/messages/broadcast`, { body }));
    }

    function sentTo({ status, text, json }: { status: number; text: string; json: unknown }): number {
      expect(status, text).toBe(200);
      return (json as { sent_to_connections: number }).sent_to_connections;
    }

    /** Expects every node to report the same count, repeatedly, once the change is known everywhere. */
    async function expectReach(count: number, publish: (from: TestServer) => Promise<number>): Promise<void> {
      for (const from of nodes.filter((n) => n.isRunning)) {
        let last: number | undefined;
        await waitFor(
          `a reach of ${count}`,
          async () => {
            last = await publish(from);
            return last === count;
          },
          { timeoutMs: 3000, describe: () => `it was ${last}` },
        );
        for (let i = 0; i < 3; i++) expect(await publish(from)).toBe(count);
      }
    }

    describe('sent_to_connections', () => {
      it('counts the streams of all nodes, each once, whatever the target', async () => {
        const [user, task, kb] = [fresh(), fresh(), fresh()];
        const both = `/sse/task/${task}?user_id=${user}`;
        const ids = [
          await open(node(0), `/sse/user/${user}`),
          await open(node(0), `/sse/user/${user}?channels=kb:${kb}`),
          await open(node(1), both),
          await open(node(1), both),
          await open(node(2), `/sse/task/${task}`),
          await open(node(2), `/sse/user/${user}`),
        ];
        const [first = '', , third = '', , , last = ''] = ids;
        await expectReach(5, (from) => reach(from, { user_id: user }));
        await expectReach(3, (from) => reach(from, { task_id: task }));
        await expectReach(1, (from) => reach(from, { kb_id: kb }));
        await expectReach(0, (from) => reach(from, { agent_id: fresh() }));
        await expectReach(6, (from) => reach(from, { user_id: user, task_id: task, kb_id: kb }));
        await expectReach(1, (from) => reach(from, { connection_id: third }));
        await expectReach(0, (from) => reach(from, { connection_id: `${third.slice(0, 8)}-none` }));
        await expectReach(5, (from) => reach(from, { user_id: user, connection_id: third }));
        await expectReach(2, (from) => reach(from, { kb_id: kb, connection_id: last }));
        await expectReach(6, (from) => reachAll(from));
        await expectReach(4, (from) => reachAll(from, [first, last, 'no-such-connection']));
      });

      it('follows streams that leave', async () => {
        const user = fresh();
        for (const each of nodes) await open(each, `/sse/user/${user}`);
        await expectReach(3, (from) => reach(from, { user_id: user }));
        streams.at(-1)?.close();
        await expectReach(2, (from) => reach(from, { user_id: user }));
      });

      it('is exact for every message of a batch', async () => {
        const [user, task] = [fresh(), fresh()];
        for (const each of nodes) await open(each, `/sse/task/${task}?user_id=${user}`);
        await expectReach(3, (from) => reach(from, { user_id: user }));
        await expectReach(3, (from) => reach(from, { task_id: task }));
        const target = { user_id: user, task_id: task };
        const body = Array.from({ length: 50 }, () => ({ type: 'info', service: 'test', target, data: {} }));
        const { json } = await requestJson<{ results: { sent_to_connections: number }[] }>(
          `${node(0).url}/sse/api/v1/messages/batch`,
          { body },
        );
        expect(json.results.map((r) => r.sent_to_connections)).toEqual(body.map(() => 3));
      });
    });

    describe('views', () => {
      it('list the streams of all nodes, the oldest first, or those of one', async () => {
        const user = fresh();
        const ids: string[] = [];
        for (const each of [node(1), node(0), node(2), node(1)])
          ids.push(await open(each, `/sse/user/${user}`));
        for (const each of nodes) {
          const all = await list(`?user_id=${user}`, each);
          expect(all.connections.map((c) => c.connection_id)).toEqual(ids);
          expect(all).toMatchObject({ total_connections: 4, nodes: { answered: 3, known: 3 } });
        }
        const some = await list(`?user_id=${user}&limit=2`);
        expect(some.connections.map((c) => c.connection_id)).toEqual(ids.slice(0, 2));
        expect(some.total_connections).toBe(4);
        const own = await list(`?user_id=${user}&scope=node`, node(1));
        expect(own.connections.map((c) => c.connection_id)).toEqual([ids[0], ids[3]]);
        expect(own).not.toHaveProperty('nodes');
        const channel = `/sse/api/v1/channels/user:${user}/connections`;
        const joined = await get<{ connection_count: number; connections: unknown[] }>(channel, node(2));
        expect([joined.connection_count, joined.connections.length]).toEqual([4, 4]);
        expect(await get(`${channel}?scope=node`, node(2))).toMatchObject({ connection_count: 1 });
      });

      it('tell who is present, figures and channels of all nodes', async () => {
        const [user, other, kb] = [fresh(), fresh(), fresh()];
        await open(node(0), `/sse/user/${user}?channels=kb:${kb}`);
        await open(node(1), `/sse/user/${user}?channels=kb:${kb}`);
        await open(node(2), `/sse/user/${other}?channels=kb:${kb}`);
        await open(node(2), `/sse/stream?channels=kb:${kb}`);
        const complete = { nodes: { answered: 3, known: 3 }, complete: true };
        expect(await get(`/sse/api/v1/channels/kb:${kb}/presence`, node(1))).toMatchObject({
          user_count: 2,
          connection_count: 4,
          users: [
            { user_id: user, connections: 2 },
            { user_id: other, connections: 1 },
            { user_id: null, connections: 1 },
          ],
          ...complete,
        });
        expect(await get(`/sse/api/v1/channels/kb:${kb}/presence?scope=node`, node(1))).toMatchObject({
          users: [{ user_id: user, connections: 1 }],
        });
        await waitFor('live streams', async () => {
          const { stats } = await get<{ stats: { active_connections: number } }>(`${CONNECTIONS}/stats`);
          return stats.active_connections === 4;
        });
        expect(await get(`${CONNECTIONS}/stats`, node(1))).toMatchObject({
          stats: { total_connections: 4, connections_by_user: { [user]: 2, [other]: 1 } },
          ...complete,
        });
        expect(await get(`${CONNECTIONS}/stats?scope=node`, node(2))).toMatchObject({
          stats: { total_connections: 2, connections_by_user: { [other]: 1 } },
        });
        const channels = `/sse/api/v1/channels?prefix=kb:${kb}`;
        expect(await get(channels, node(1))).toMatchObject({
          channels: [{ channel: `kb:${kb}`, connection_count: 4 }],
          nodes: complete.nodes,
        });
        expect(await get(`${channels}&scope=node`, node(1))).toMatchObject({
          channels: [{ connection_count: 1 }],
        });
        expect(await get('/sse/health', node(2))).toMatchObject({
          connection_manager: { active_connections: 2 },
          message_queue: { nodes: 3 },
        });
      });

      it('end a stream on another node, once', async () => {
        const id = await open(node(2), `/sse/user/${fresh()}`);
        const kick = async (query = ''): Promise<number> =>
          (await request(`${node(0).url}${CONNECTIONS}/${id}${query}`, { method: 'DELETE' })).status;
        expect(await kick('?scope=node')).toBe(404);
        expect(await kick()).toBe(200);
        await streams[0]?.ended();
        expect(streams[0]?.events.at(-1)).toMatchObject({ type: 'end' });
        await waitFor('its end', async () => (await list('')).total_connections === 0);
        expect(await kick()).toBe(404);
      });
    });

    describe('the limit per user', () => {
      const refusals = (): number =>
        streams.filter((s) => s.events.some((e) => e.data.includes('too_many_connections_of_user'))).length;
      const openOnes = (): StreamClient[] => streams.filter((s) => s.lastEventId !== '' && s.isOpen);

      it('holds when many streams open at once on all nodes', async () => {
        const user = fresh();
        for (let i = 0; i < 30; i++) connect(node(i % 3), `/sse/user/${user}`);
        await waitFor('an answer for each', () => openOnes().length + refusals() === 30);
        expect([openOnes().length, refusals()]).toEqual([LIMIT, 20]);
        expect((await list(`?user_id=${user}`)).total_connections).toBe(LIMIT);
        for (const stream of openOnes().slice(0, 4)) stream.close();
        await waitFor('room', async () => (await list(`?user_id=${user}`)).total_connections === LIMIT - 4);
        streams = streams.filter((s) => s.isOpen);
        for (let i = 0; i < 9; i++) connect(node(i % 3), `/sse/user/${user}`);
        await waitFor('an answer for each', () => openOnes().length + refusals() === 15);
        expect(openOnes().length).toBe(LIMIT);
      });

      it('does not hold the streams of a node that was killed against their user', async () => {
        const user = fresh();
        for (let i = 0; i < LIMIT; i++) await open(node(2), `/sse/user/${user}`);
        connect(node(0), `/sse/user/${user}`);
        await waitFor('a refusal', () => refusals() === 1);
        await node(2).kill();
        const killedMs = performance.now();
        streams = [];
        await waitFor(
          'a new stream',
          async () => {
            const stream = connect(node(0), `/sse/user/${user}`);
            await waitFor('an answer', () => stream.events.length > 0);
            return stream.lastEventId !== '';
          },
          { timeoutMs: VANISHED_MS, pollMs: 200 },
        );
        expect(performance.now() - killedMs).toBeLessThan(VANISHED_MS);
        nodes[2] = await startNode();
        await knownEverywhere(3);
      });
    });

    describe('a node', () => {
      it('that is killed vanishes within seconds from all views and counts', async () => {
        const [user, task] = [fresh(), fresh()];
        await open(node(0), `/sse/task/${task}?user_id=${user}`);
        await open(node(1), `/sse/task/${task}?user_id=${user}`);
        const lost = await open(node(2), `/sse/task/${task}?user_id=${user}`);
        await expectReach(3, (from) => reach(from, { user_id: user }));
        await expectReach(3, (from) => reach(from, { task_id: task }));
        await node(2).kill();
        const killedMs = performance.now();
        const { status } = await request(`${node(1).url}${CONNECTIONS}/${lost}`, { method: 'DELETE' });
        expect([404, 503]).toContain(status);
        for (const each of [node(0), node(1)]) {
          const isGone = async (): Promise<boolean> => {
            const listing = await list(`?user_id=${user}`, each);
            const reaches = [
              await reach(each, { user_id: user }),
              await reach(each, { user_id: user, task_id: task }),
              await reachAll(each),
              await reachAll(each, [lost]),
            ];
            return (
              reaches.every((count) => count === 2) &&
              (await reach(each, { connection_id: lost })) === 0 &&
              listing.nodes?.known === 2 &&
              listing.nodes.answered === 2
            );
          };
          await waitFor('its disappearance', isGone, { timeoutMs: 10_000, pollMs: 50 });
          expect(performance.now() - killedMs).toBeLessThan(VANISHED_MS);
          expect(await list(`?user_id=${user}`, each)).toMatchObject({ total_connections: 2 });
          expect(await get(`/sse/api/v1/channels/user:${user}/presence`, each)).toMatchObject({
            users: [{ user_id: user, connections: 2 }],
            complete: true,
          });
          expect(await get(`/sse/api/v1/channels/user:${user}/connections`, each)).toMatchObject({
            connection_count: 2,
          });
          expect(await get(`${CONNECTIONS}/stats`, each)).toMatchObject({ stats: { total_connections: 2 } });
          expect(await get('/sse/health', each)).toMatchObject({ message_queue: { nodes: 2 } });
          const kicked = await request(`${each.url}${CONNECTIONS}/${lost}`, { method: 'DELETE' });
          expect(kicked.status).toBe(404);
        }
        nodes[2] = await startNode();
        await knownEverywhere(3);
      });

      it('that stops is gone at once', async () => {
        const user = fresh();
        await open(node(0), `/sse/user/${user}`);
        await open(node(2), `/sse/user/${user}`);
        await expectReach(2, (from) => reach(from, { user_id: user }));
        await node(2).stop();
        for (const each of [node(0), node(1)]) {
          await waitFor(
            'its farewell',
            async () =>
              (await list('', each)).nodes?.known === 2 && (await reach(each, { user_id: user })) === 1,
            { timeoutMs: 500 },
          );
        }
        nodes[2] = await startNode();
        await knownEverywhere(3);
      });
    });
  });
}
