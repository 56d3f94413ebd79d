/** The fleet's run with one node on the embedded engine. */
import { afterEach, expect, it } from 'vitest';
import { runFleet, startNodes } from '../support/redis/fleet.ts';
import { NOTHING_LOST } from '../support/redis/fleet-judge.ts';
import { atScale } from '../support/scale.ts';
import type { TestServer } from '../support/service/server.ts';

const SIZE = { messages: atScale(20_000, 5000), streams: 100, messagesPerSecond: atScale(6000, 1500) };

let nodes: TestServer[] = [];
afterEach(async () => {
  for (const node of nodes) await node.dispose();
});

it('one node that is killed again and again loses, repeats and reorders nothing', async () => {
  nodes = await startNodes(1, {});
  const [node] = nodes;
  const run = await runFleet({
    name: 'fleet of one, node kills',
    nodes,
    size: SIZE,
    copies: 2,
    faults: async (fleet) => {
      for (const share of [0.2, 0.4, 0.6, 0.8]) {
        await fleet.reached(share);
        await node?.kill();
        await node?.start();
      }
    },
  });
  expect(run.verdict, run.explanation).toMatchObject({ ...NOTHING_LOST, shownAgain: 0, gapEvents: 0 });
  expect(run.isSettled).toBe(true);
  expect(run.differentAnswers).toBe(0);
  expect(run.verdict.acknowledged).toBeGreaterThanOrEqual(SIZE.messages);
  expect(run.streams.filter((s) => s.client.isFailed)).toEqual([]);
});
