import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { SlotWrites } from './slot-writes.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

interface Call {
  readonly names: readonly string[];
  readonly answer: PromiseWithResolvers<void>;
}

function make(names: readonly string[] = []): { calls: Call[]; writes: SlotWrites } {
  const calls: Call[] = [];
  const writes = new SlotWrites({
    // Names that begin with the same letter share a slot.
    slotOf: (name) => name.charCodeAt(0),
    delayMs: 5,
    names: () => names,
    write: (written) => {
      const answer = Promise.withResolvers<void>();
      calls.push({ names: written, answer });
      return answer.promise;
    },
  });
  return { calls, writes };
}

const namesOf = (calls: readonly Call[]): (readonly string[])[] => calls.map(({ names }) => names);

describe('names that have changed', () => {
  test('are written once, those of a slot in one call', async () => {
    const { calls, writes } = make();
    for (const name of ['a1', 'b1', 'a2', 'a1']) writes.add(name);
    expect(calls).toEqual([]);
    await vi.advanceTimersByTimeAsync(5);
    expect(namesOf(calls)).toEqual([['a1', 'a2'], ['b1']]);
  });

  test('wait for the call of their slot that is under way', async () => {
    const { calls, writes } = make();
    writes.add('a1');
    await vi.advanceTimersByTimeAsync(5);
    for (const name of ['a1', 'a2']) writes.add(name);
    await vi.advanceTimersByTimeAsync(100);
    expect(calls.length).toBe(1);
    calls[0]?.answer.resolve();
    await vi.advanceTimersByTimeAsync(0);
    expect(namesOf(calls)).toEqual([['a1'], ['a1', 'a2']]);
  });

  test('are written again after a failure, at once when there is something new', async () => {
    const { calls, writes } = make();
    writes.add('a1');
    await vi.advanceTimersByTimeAsync(5);
    calls[0]?.answer.reject(new Error('unreachable'));
    await vi.advanceTimersByTimeAsync(400);
    expect(calls.length).toBe(1);
    await vi.advanceTimersByTimeAsync(200);
    expect(namesOf(calls)).toEqual([['a1'], ['a1']]);
    calls[1]?.answer.reject(new Error('unreachable'));
    await vi.advanceTimersByTimeAsync(0);
    writes.add('a2');
    await vi.advanceTimersByTimeAsync(5);
    expect(namesOf(calls).at(-1)).toEqual(['a1', 'a2']);
  });

  test('are all written before it closes, and none later', async () => {
    const { calls, writes } = make();
    writes.add('a1');
    let isClosed = false;
    void writes.close(1000).then(() => {
      isClosed = true;
    });
    await vi.advanceTimersByTimeAsync(5);
    expect(isClosed).toBe(false);
    calls[0]?.answer.resolve();
    await vi.advanceTimersByTimeAsync(0);
    expect(isClosed).toBe(true);
    writes.add('a2');
    await vi.advanceTimersByTimeAsync(1000);
    expect(calls.length).toBe(1);
  });

  test('do not keep it from closing when they cannot be written', async () => {
    const { writes } = make();
    writes.add('a1');
    let isClosed = false;
    void writes.close(1000).then(() => {
      isClosed = true;
    });
    await vi.advanceTimersByTimeAsync(1000);
    expect(isClosed).toBe(true);
  });
});

test('all names are renewed within the steps of a round, then again', async () => {
  const { calls, writes } = make(['a1', 'b1', 'c1', 'd1', 'e1']);
  const step = async (): Promise<number> => {
    writes.renewSome(4);
    await vi.advanceTimersByTimeAsync(5);
    for (const { answer } of calls) answer.resolve();
    await vi.advanceTimersByTimeAsync(0);
    return calls.length;
  };
  expect([await step(), await step(), await step(), await step()]).toEqual([1, 2, 3, 5]);
  expect(namesOf(calls).flat()).toEqual(['a1', 'b1', 'c1', 'd1', 'e1']);
  expect([await step(), await step()]).toEqual([6, 7]);
});
