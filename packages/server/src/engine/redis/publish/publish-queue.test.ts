import { beforeEach, describe, expect, test } from 'vitest';
import type { AckLevel, Draft } from '../../../core/message.ts';
import { Keys } from '../names/keys.ts';
import type { PartResult } from './publish-call.ts';
import { PublishQueue } from './publish-queue.ts';
import type { PublishCall } from './publish-sender.ts';

interface Sent extends PublishCall {
  readonly answer: PromiseWithResolvers<readonly PartResult[]>;
}

const keys = new Keys('p:', 0);
let sent: Sent[];
let queue: PublishQueue;
let count = 0;

beforeEach(() => {
  sent = [];
  queue = make();
});

function make(groupCommit = true): PublishQueue {
  return new PublishQueue({
    keys,
    // The channel's number is its slot.
    slotOf: (key) => Number(/(\d)}/.exec(key)?.[1]),
    sender: {
      send: (call) => {
        const answer = Promise.withResolvers<readonly PartResult[]>();
        sent.push({ ...call, answer });
        return answer.promise;
      },
    },
    timeoutMs: 1000,
    groupCommit,
  });
}

function draft(channels: string | readonly string[], ack: AckLevel = 'stored', bytes = 10): Draft {
  const names = [channels].flat() as string[];
  return {
    message: {
      id: `m${++count}`,
      type: 'info',
      channels: names,
      exclude: undefined,
      timeMs: 1,
      json: Buffer.alloc(bytes),
    },
    ttlMs: undefined,
    hasOwnTtl: false,
    fingerprint: undefined,
    ack,
  };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Answers a call: every part is stored. */
async function answer(call: Sent | undefined): Promise<void> {
  call?.answer.resolve(
    call.parts.map(({ draft: { message }, logs }) => ({
      outcome: 'stored',
      places: logs.map((channel) => ({ channel, epoch: 'e', offset: 1 })),
      timeMs: message.timeMs,
      audiences: [],
    })),
  );
  await turn();
}

const idsOf = (calls: readonly Sent[]): string[][] =>
  calls.map(({ parts }) => parts.map((part) => part.draft.message.id));

describe('publishes of a turn', () => {
  test('go in one call for each slot and level', async () => {
    const drafts = [draft('c1'), draft('c2'), draft('c1'), draft('c1', 'replicated')];
    for (const each of drafts) void queue.add(each);
    const [a, b, c, d] = drafts.map(({ message }) => message.id);
    await turn();
    expect(idsOf(sent)).toEqual([[a, c], [b], [d]]);
    expect(sent.map(({ slot, ack }) => [slot, ack])).toEqual([
      [1, 'stored'],
      [2, 'stored'],
      [1, 'replicated'],
    ]);
  });

  test('go one by one without group commit', async () => {
    queue = make(false);
    for (const each of [draft('c1'), draft('c1')]) void queue.add(each);
    await turn();
    expect(sent).toHaveLength(1);
    await answer(sent[0]);
    expect(sent).toHaveLength(2);
  });

  test('are bounded by number and by bytes', async () => {
    for (let i = 0; i < 250; i++) void queue.add(draft('c1'));
    for (let i = 0; i < 3; i++) void queue.add(draft('c2', 'stored', 600_000));
    await turn();
    expect(sent.map(({ parts }) => parts.length)).toEqual([200, 2]);
  });

  test('wait for the call of their slot that is under way', async () => {
    void queue.add(draft('c1'));
    await turn();
    void queue.add(draft('c1'));
    void queue.add(draft('c2'));
    void queue.add(draft('c1'));
    await turn();
    expect(sent.map(({ slot, parts }) => [slot, parts.length])).toEqual([
      [1, 1],
      [2, 1],
    ]);
    await answer(sent[0]);
    expect(sent[2]).toMatchObject({ slot: 1, parts: { length: 2 } });
  });
});

test('a draft to channels of several slots has a result of each', async () => {
  const results = queue.add(draft(['c1', 'c2', 'd1']));
  await turn();
  expect(sent.map(({ parts }) => parts[0]?.logs)).toEqual([['c1', 'd1'], ['c2']]);
  expect(queue).toMatchObject({ messages: 2, bytes: 10 });
  for (const call of sent) await answer(call);
  expect((await results).map(({ places }) => places.map(({ channel }) => channel))).toEqual([
    ['c1', 'd1'],
    ['c2'],
  ]);
  expect(queue).toMatchObject({ messages: 0, bytes: 0 });
});

test('what waits behind a call that failed fails too, and other slots go on', async () => {
  const settled: string[] = [];
  const publish = (name: string, channel: string): void => {
    queue.add(draft(channel)).then(
      () => settled.push(`${name} stored`),
      (error: Error) => settled.push(`${name} ${error.message}`),
    );
  };
  publish('first', 'c1');
  publish('other', 'c2');
  await turn();
  publish('behind', 'c1');
  await turn();
  sent[0]?.answer.reject(new Error('away'));
  await answer(sent[1]);
  expect(settled.toSorted()).toEqual(['behind away', 'first away', 'other stored']);
  expect(queue).toMatchObject({ messages: 0, bytes: 0 });
  publish('next', 'c1');
  await turn();
  await answer(sent[2]);
  expect(settled.at(-1)).toBe('next stored');
});

describe('a claim', () => {
  test('that is lost refuses its message alone', async () => {
    const refused = queue.add(draft('c1'), Promise.resolve(false));
    const owned = draft('c1');
    void queue.add(owned, Promise.resolve(true));
    await turn();
    expect(await refused).toMatchObject([{ outcome: 'conflict' }]);
    expect(idsOf(sent)).toEqual([[owned.message.id]]);
  });

  test('that cannot be known fails its message and those behind it on the same channel', async () => {
    const claim = Promise.reject(new Error('unreachable'));
    claim.catch(() => undefined);
    const failed = [queue.add(draft('c1'), claim), queue.add(draft('c1'))];
    const other = draft('d1');
    void queue.add(other);
    const outcomes = await Promise.allSettled(failed);
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'engine_unavailable' } });
    }
    await turn();
    expect(idsOf(sent)).toEqual([[other.message.id]]);
  });
});

test('is settled when nothing is queued and nothing is under way', async () => {
  await queue.settled();
  void queue.add(draft('c1'));
  let isSettled = false;
  const settled = queue.settled().then(() => {
    isSettled = true;
  });
  await turn();
  expect(isSettled).toBe(false);
  await answer(sent[0]);
  await settled;
});
