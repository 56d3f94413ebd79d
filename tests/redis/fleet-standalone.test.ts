/** Three nodes on one Redis: the effects of its loss, its standstill and its return on publishers and streams. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { request } from '../support/http/http.ts';
import { type FleetRun, runFleet, startNodes } from '../support/redis/fleet.ts';
import { NO_OFFENCE, NOTHING_LOST } from '../support/redis/fleet-judge.ts';
import { RedisServer } from '../support/redis/redis-server.ts';
import { standaloneEnv } from '../support/redis/service-env.ts';
import { atScale } from '../support/scale.ts';
import type { TestServer } from '../support/service/server.ts';
import { waitFor } from '../support/wait.ts';

const NODES = 3;
const NODE_KILLS = atScale(10, 4);
/** Messages that show that publishing goes on after a fault. */
const MORE_MESSAGES = atScale(10_000, 1000);
const BUS_KILL_MS = 2000;
const STANDSTILL_MS = 10_000;
/** Longer than a command may take, so that answers to earlier commands come too late. */
const SHORT_STANDSTILL_MS = 6000;
const SOCKET_TIMEOUT_MS = 5000;

let redis: RedisServer;
let nodes: TestServer[] = [];
beforeEach(async () => {
  // With `everysec`, Redis puts off writing while a sync takes long, and a kill would take what it has acknowledged.
  redis = await RedisServer.start({ config: ['appendfsync always'] });
  nodes = await startNodes(NODES, standaloneEnv(redis));
});
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.dispose();
  await redis.dispose();
});

function expectNothingLost(run: FleetRun): void {
  expect(run.verdict, run.explanation).toMatchObject({ ...NOTHING_LOST, shownAgain: 0, gapEvents: 0 });
  expectGoodEnd(run);
}

function expectGoodEnd(run: FleetRun): void {
  expect(run.isSettled, run.explanation).toBe(true);
  expect(run.streams.filter((s) => s.client.isFailed)).toEqual([]);
}

it('nodes that are killed again and again lose, repeat and reorder nothing', async () => {
  const run = await runFleet({
    name: 'node kills',
    nodes,
    faults: async (fleet) => {
      for (let kill = 1; kill <= NODE_KILLS; kill++) {
        await fleet.reached((0.9 * kill) / NODE_KILLS);
        const node = fleet.random.pick(nodes);
        await node.kill();
        await node.start();
      }
    },
  });
  expectNothingLost(run);
});

it('a bus whose connections are killed every two seconds loses, repeats and reorders nothing', async () => {
  let killed = 0;
  const run = await runFleet({
    name: 'bus kills',
    nodes,
    faults: async (fleet) => {
      const isOver = fleet.reached(0.95).then(() => true);
      // The delay is the rhythm of the fault.
      while (!(await Promise.race([isOver, delay(BUS_KILL_MS, false)]))) {
        killed += Number(await redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub'));
      }
    },
  });
  expectNothingLost(run);
  expect(killed).toBeGreaterThanOrEqual(NODES);
});

it('a Redis that stands still, is killed and comes back with its AOF loses, repeats and reorders nothing', async () => {
  const run = await runFleet({
    name: 'standstill',
    nodes,
    faults: async (fleet) => {
      await fleet.reached(0.2);
      redis.freeze();
      const refusals = nodes.map((node) => timeRefusal(node));
      // The delay is the length of the fault.
      await delay(STANDSTILL_MS);
      await redis.restart();
      for (const refusedMs of await Promise.all(refusals)) {
        expect(refusedMs).toBeLessThan(SOCKET_TIMEOUT_MS + 1000);
      }
      await fleet.goesOn(MORE_MESSAGES);
      redis.freeze();
      await delay(SHORT_STANDSTILL_MS);
      redis.thaw();
      await fleet.goesOn(MORE_MESSAGES);
    },
  });
  expectNothingLost(run);
});

/** The time until a publisher is told that its message was not stored. */
async function timeRefusal(node: TestServer): Promise<number> {
  const since = performance.now();
  const body = { type: 'info', service: 'test', target: { user_id: 'nobody' }, data: {} };
  const { status, text } = await request(`${node.url}/sse/api/v1/messages/send`, { body, timeoutMs: 20_000 });
  expect(status, text).toBe(503);
  return performance.now() - since;
}

it('a Redis that comes back empty is announced once to every stream, and no old cursor is honoured', async () => {
  const run = await runFleet({
    name: 'emptied',
    nodes,
    size: { messages: atScale(30_000, 4000) },
    faults: async (fleet) => {
      await fleet.reached(0.5);
      await fleet.becomeQuiet();
      const away = new Set(fleet.random.sample(fleet.streams, fleet.streams.length / 10));
      for (const { client } of away) client.holdOff();
      await redis.restart({ isEmptied: true });
      await waitFor(
        'a gap on every stream',
        () => fleet.streams.every((s) => away.has(s) || s.gaps.length > 0),
        {
          timeoutMs: 30_000,
          describe: () => `${fleet.streams.filter((s) => s.gaps.length > 0).length} have one`,
        },
      );
      fleet.publishAgain();
      await fleet.goesOn(MORE_MESSAGES / 2);
      for (const { client } of away) client.comeBack();
    },
  });
  expect(run.verdict, run.explanation).toMatchObject({ ...NO_OFFENCE, missing: 0, shownAgain: 0 });
  expect(run.verdict.unstored).toBeGreaterThan(0);
  for (const { channels, gaps } of run.streams) {
    // There were markers on all channels, so each has lost something.
    const wanted = channels.map((channel) => ({ channel, reason: 'epoch_changed' }));
    const told = gaps.map((gap) => gap.channels.map(({ channel, reason }) => ({ channel, reason })));
    expect(told).toEqual([wanted]);
  }
  expectGoodEnd(run);
});

it('a publish that is sent to three nodes at once is stored once and answered alike', async () => {
  const run = await runFleet({ name: 'three at once', nodes, copies: NODES });
  expectNothingLost(run);
  expect(run.differentAnswers).toBe(0);
});
