/** Three nodes on a cluster whose slots move and whose masters die. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ClusterSetup } from '../support/redis/cluster-setup.ts';
import { runFleet, startNodes } from '../support/redis/fleet.ts';
import { NOTHING_LOST } from '../support/redis/fleet-judge.ts';
import { clusterEnv } from '../support/redis/service-env.ts';
import { atScale } from '../support/scale.ts';
import type { TestServer } from '../support/service/server.ts';

const ROUNDS = atScale(6, 3);
const BUSY_SLOTS_PER_ROUND = 4;
const OTHER_SLOTS = 200;

let cluster: ClusterSetup;
let nodes: TestServer[] = [];
beforeEach(async () => {
  cluster = await ClusterSetup.start();
  nodes = await startNodes(3, clusterEnv(cluster));
});
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.dispose();
  await cluster.dispose();
});

it('slots that move under load lose, repeat and reorder nothing', async () => {
  const run = await runFleet({
    name: 'slots move',
    nodes,
    faults: async (fleet) => {
      for (let round = 0; round < ROUNDS; round++) {
        await fleet.reached(0.1 + (0.8 * round) / ROUNDS);
        const masters = await cluster.masters();
        const from = masters[round % masters.length];
        const to = masters[(round + 1) % masters.length];
        if (from === undefined || to === undefined) throw new Error('there are too few masters');
        const busy = (await cluster.busySlots(from)).slice(0, BUSY_SLOTS_PER_ROUND);
        for (const slot of busy) await cluster.moveSlot(slot, to);
        if (round === ROUNDS - 1) await cluster.moveSlots(to, from, OTHER_SLOTS);
      }
      await cluster.settled();
    },
  });
  expect(run.verdict, run.explanation).toMatchObject({ ...NOTHING_LOST, shownAgain: 0, gapEvents: 0 });
  expect(run.isSettled, run.explanation).toBe(true);
  expect(run.streams.filter((s) => s.client.isFailed)).toEqual([]);
});

it('a master that is killed takes nothing with it that its replica was to have', async () => {
  const run = await runFleet({
    name: 'cluster master killed',
    nodes,
    ack: 'replicated',
    faults: async (fleet) => {
      await fleet.reached(0.3);
      const killed = await cluster.killMaster(0);
      await cluster.settled();
      // The new master has no replica and acknowledges nothing until the old master becomes one.
      await killed.start();
      await cluster.settled();
      await fleet.goesOn(atScale(10_000, 1000));
    },
  });
  // A stream may have seen messages that no replica had: a gap announces it, and the publisher has sent them again.
  expect(run.verdict, run.explanation).toMatchObject(NOTHING_LOST);
  expect(run.isSettled, run.explanation).toBe(true);
  expect(run.streams.filter((s) => s.client.isFailed)).toEqual([]);
});
