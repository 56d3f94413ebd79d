/**
 * A network that is split in two for ten seconds: a master, a sentinel and a node on one side, two replicas, two
 * sentinels and two nodes on the other. The old master accepts what its node writes until the network heals.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { FLEET_ENV, type Fleet, type FleetRun, runFleet, startNodes } from '../support/redis/fleet.ts';
import { NO_OFFENCE, NOTHING_LOST } from '../support/redis/fleet-judge.ts';
import { SentinelSetup } from '../support/redis/sentinel-setup.ts';
import { sentinelEnv } from '../support/redis/service-env.ts';
import { networkProblem, TestNetwork } from '../support/redis/test-network.ts';
import { atScale } from '../support/scale.ts';
import { TestServer } from '../support/service/server.ts';

const PARTITION_MS = 10_000;
const ALONE = 'm';

let network: TestNetwork | undefined;
let setup: SentinelSetup | undefined;
let nodes: TestServer[] = [];
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.dispose();
  await setup?.dispose();
  network?.dispose();
});

async function startSides(where: { hasNodeAlone: boolean }): Promise<(fleet: Fleet) => Promise<void>> {
  const net = new TestNetwork();
  network = net;
  const alone = net.addHost(ALONE);
  const redis = await SentinelSetup.start({
    place: (_role, index) =>
      index === 0 ? { host: alone.address, launcher: alone.launcher } : { host: net.address },
  });
  setup = redis;
  const env = sentinelEnv(redis);
  nodes = await startNodes(where.hasNodeAlone ? 2 : 3, env);
  if (where.hasNodeAlone) {
    nodes.push(await TestServer.start({ launcher: alone.serviceLauncher, env: { ...FLEET_ENV, ...env } }));
  }
  return async (fleet) => {
    await fleet.reached(0.2);
    const old = await redis.master();
    net.cut(ALONE);
    const cut = delay(PARTITION_MS);
    await redis.failedOver(old, redis.sentinels.slice(1));
    // The delay is the length of the fault.
    await cut;
    net.heal(ALONE);
    await redis.settled();
    await fleet.goesOn(atScale(10_000, 1000));
  };
}

function expectGoodEnd(run: FleetRun): void {
  expect(run.isSettled, run.explanation).toBe(true);
  expect(run.streams.filter((s) => s.client.isFailed)).toEqual([]);
}

function reasonsOf(run: FleetRun): string[] {
  return [
    ...new Set(run.streams.flatMap((s) => s.gaps.flatMap((gap) => gap.channels.map(({ reason }) => reason)))),
  ];
}

const problem = networkProblem();
describe.skipIf(problem !== undefined)(
  `a partition of ten seconds${problem === undefined ? '' : ` (${problem})`}`,
  () => {
    it('that cuts off the master alone loses nothing that a replica was to have', async () => {
      const faults = await startSides({ hasNodeAlone: false });
      const run = await runFleet({ name: 'partition, replicated', nodes, ack: 'replicated', faults });
      expect(run.verdict, run.explanation).toMatchObject(NOTHING_LOST);
      // No node went back to the old master when the network healed: its log does not know the new epoch.
      expect(reasonsOf(run)).not.toContain('epoch_changed');
      expectGoodEnd(run);
    });

    it('that cuts off the master with a node loses nothing that a replica was to have', async () => {
      const faults = await startSides({ hasNodeAlone: true });
      const run = await runFleet({
        name: 'partition with a node, replicated',
        nodes,
        ack: 'replicated',
        faults,
      });
      expect(run.verdict, run.explanation).toMatchObject(NOTHING_LOST);
      expectGoodEnd(run);
    });

    it('that cuts off the master with a node loses what it had stored, and tells every stream', async () => {
      const faults = await startSides({ hasNodeAlone: true });
      const run = await runFleet({ name: 'partition with a node, stored', nodes, faults });
      expect(run.verdict, run.explanation).toMatchObject(NO_OFFENCE);
      // Otherwise the network was not cut.
      expect(run.verdict.unstored).toBeGreaterThan(0);
      expectGoodEnd(run);
    });
  },
);
