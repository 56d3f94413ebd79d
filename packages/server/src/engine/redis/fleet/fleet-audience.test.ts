import { beforeEach, describe, expect, test } from 'vitest';
import type { LocalDirectory } from '../../../core/directory.ts';
import type { Message, Receipt } from '../../../core/message.ts';
import { FleetAudience } from './fleet-audience.ts';
import type { CountQuestion } from './node-questions.ts';

const SELF = '00000000';
const A = 'aaaaaaaa';
const B = 'bbbbbbbb';
const DEAD = 'dddddddd';

let own: number;
let asked: [string, readonly CountQuestion[]][];
let answers: Record<string, number | undefined>;
let removed: [string, string][];
let gone: Set<string>;
let audience: FleetAudience;

beforeEach(() => {
  own = 3;
  asked = [];
  answers = {};
  removed = [];
  gone = new Set();
  audience = new FleetAudience({
    nodeId: SELF,
    local: () => ({ countStreams: () => own }) as unknown as LocalDirectory,
    nodes: { isAlive: (id) => [SELF, A, B].includes(id), isGone: (id) => gone.has(id) },
    ask: async (id, questions) => {
      asked.push([id, questions]);
      const answer = answers[id];
      return answer === undefined ? undefined : questions.map(() => answer);
    },
    remove: async (id, channel) => void removed.push([id, channel]),
  });
});

type Counts = Record<string, number>;

function count(channels: Record<string, Counts>, exclude?: string[]): number | Promise<number> {
  const names = Object.keys(channels);
  const receipt = {
    places: names.map((channel) => ({ channel, epoch: 'e', offset: 1 })),
    audiences: names.map((name) => new Map(Object.entries(channels[name] ?? {}))),
  } as unknown as Receipt;
  return audience.countStreams(receipt, { channels: names, exclude } as unknown as Message);
}

describe('the streams of one channel', () => {
  test('are those here and those that live nodes have noted, with nothing to wait for', () => {
    expect(count({ 'user:1': { [SELF]: 99, [A]: 2, [B]: 1, [DEAD]: 7 } })).toBe(6);
    expect(count({ 'user:1': {} })).toBe(3);
    expect(asked).toEqual([]);
  });

  test('without some connections are asked only of the nodes that have these', async () => {
    answers[A] = 1;
    const counted = count({ broadcast: { [A]: 2, [B]: 4 } }, [`${A}-1`, `${SELF}-1`, 'no-id', `${DEAD}-1`]);
    expect(await counted).toBe(3 + 1 + 4);
    expect(asked).toEqual([[A, [[['broadcast'], [`${A}-1`, `${SELF}-1`, 'no-id', `${DEAD}-1`]]]]]);
    expect(count({ broadcast: { [A]: 2, [B]: 4 } }, [`${SELF}-1`])).toBe(9);
  });

  test('of a node that is gone are removed, and of one that has just died they stay', () => {
    expect(count({ 'user:1': { [DEAD]: 7 } })).toBe(3);
    expect(removed).toEqual([]);
    gone.add(DEAD);
    expect(count({ 'user:1': { [DEAD]: 7 } })).toBe(3);
    expect(removed).toEqual([[DEAD, 'user:1']]);
  });
});

describe('the streams of several channels', () => {
  test('are asked of a node that has streams on two of them', async () => {
    answers[A] = 2;
    expect(await count({ 'user:1': { [A]: 2, [B]: 1 }, 'task:1': { [A]: 1 } })).toBe(3 + 2 + 1);
    expect(asked).toEqual([[A, [[['user:1', 'task:1']]]]]);
  });

  test('are at most the sum when that node does not answer', async () => {
    expect(await count({ 'user:1': { [A]: 2 }, 'task:1': { [A]: 1 } })).toBe(3 + 3);
  });

  test('need no question when no node has two of them', () => {
    expect(count({ 'user:1': { [A]: 2 }, 'task:1': { [B]: 1 } })).toBe(6);
  });

  test('are asked once per node and turn', async () => {
    answers[A] = 1;
    answers[B] = 2;
    const both = { [A]: 1, [B]: 1 };
    const counted = await Promise.all([
      count({ 'user:1': both, 'task:1': both }),
      count({ 'user:2': both, 'task:2': both }),
    ]);
    expect(counted).toEqual([6, 6]);
    expect(asked.map(([id, questions]) => [id, questions.length])).toEqual([
      [A, 2],
      [B, 2],
    ]);
  });
});

describe('a connection', () => {
  test('is asked of the node of its id', async () => {
    own = 0;
    answers[B] = 0;
    expect(await count({ [`connection:${B}-1`]: {} })).toBe(0);
    answers[B] = 1;
    expect(await count({ [`connection:${B}-1`]: {} })).toBe(1);
    answers[B] = 2;
    expect(await count({ 'user:1': { [B]: 2 }, [`connection:${B}-1`]: {} })).toBe(2);
  });

  test('of this node, of a dead one and of none needs no question', () => {
    for (const id of [SELF, DEAD, 'nobody']) expect(count({ [`connection:${id}-1`]: {} })).toBe(3);
  });
});
