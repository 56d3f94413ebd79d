/** Three nodes on a master that is killed under sentinels. */
import { afterEach, expect, it } from 'vitest';
import { runFleet, startNodes } from '../support/redis/fleet.ts';
import { NOTHING_LOST } from '../support/redis/fleet-judge.ts';
import { SentinelSetup } from '../support/redis/sentinel-setup.ts';
import { sentinelEnv } from '../support/redis/service-env.ts';
import { atScale } from '../support/scale.ts';
import type { TestServer } from '../support/service/server.ts';

let setup: SentinelSetup | undefined;
let nodes: TestServer[] = [];
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.dispose();
  await setup?.dispose();
});

it('a master that is killed takes nothing with it that a replica was to have', async () => {
  const redis = await SentinelSetup.start();
  setup = redis;
  nodes = await startNodes(3, sentinelEnv(redis));
  const run = await runFleet({
    name: 'sentinel master killed',
    nodes,
    ack: 'replicated',
    faults: async (fleet) => {
      await fleet.reached(0.3);
      const killed = await redis.killMaster();
      await redis.failedOver(killed);
      await fleet.goesOn(atScale(10_000, 1000));
      await killed.start();
      await fleet.goesOn(atScale(10_000, 1000));
    },
  });
  // A stream may have seen messages that no replica had: a gap announces it, and the publisher has sent them again.
  expect(run.verdict, run.explanation).toMatchObject(NOTHING_LOST);
  expect(run.isSettled, run.explanation).toBe(true);
  expect(run.streams.filter((s) => s.client.isFailed)).toEqual([]);
});
