import { describe, expect, test } from 'vitest';
import type { ConnectionPage, ConnectionView, StreamTotals } from '../../../core/directory.ts';
import { type Cut, cutToFit, mergeJoined, mergePages, mergePresence, mergeTotals } from './merge-views.ts';

function page(ages: readonly number[], isCut = false, total = ages.length): Cut<ConnectionPage> {
  const connections = ages.map((ms) => ({ connectionId: `c${ms}`, connectedAtMs: ms }) as ConnectionView);
  return { view: { total, connections }, isCut };
}

describe('connections of several nodes', () => {
  const agesOf = (pages: readonly Cut<ConnectionPage>[], limit: number, isOrdered = true): number[] =>
    mergePages(pages, { limit, isOrdered }).connections.map((c) => c.connectedAtMs);

  test('are the oldest of all, and all are counted', () => {
    const pages = [page([1, 4, 9], false, 30), page([2, 3]), page([])];
    expect(agesOf(pages, 4)).toEqual([1, 2, 3, 4]);
    expect(mergePages(pages, { limit: 4, isOrdered: true }).total).toBe(32);
  });

  test('end where a node has left something out', () => {
    expect(agesOf([page([1, 5], true), page([2, 6, 7])], 10)).toEqual([1, 2, 5]);
    expect(agesOf([page([5, 1], true), page([7, 2])], 10, false)).toEqual([1, 2, 5, 7]);
  });
});

test('what does not fit is cut, but never all', () => {
  expect(cutToFit(['aa', 'bb', 'cc'], 10)).toEqual({ view: ['aa', 'bb'], isCut: true });
  expect(cutToFit(['aa', 'bb'], 10)).toEqual({ view: ['aa', 'bb'], isCut: false });
  expect(cutToFit(['a'.repeat(50), 'b'], 10)).toEqual({ view: ['a'.repeat(50)], isCut: true });
});

test('a user who is on several nodes is present once, since the first stream', () => {
  expect(
    mergePresence([
      [
        { userId: 'x', connections: 2, sinceMs: 50 },
        { userId: undefined, connections: 1, sinceMs: 70 },
      ],
      [
        { userId: 'y', connections: 1, sinceMs: 60 },
        { userId: 'x', connections: 1, sinceMs: 40 },
      ],
      // As JSON carries it.
      [{ connections: 4, sinceMs: 90 } as never],
    ]),
  ).toEqual([
    { userId: 'x', connections: 3, sinceMs: 40 },
    { userId: 'y', connections: 1, sinceMs: 60 },
    { userId: undefined, connections: 5, sinceMs: 70 },
  ]);
});

test('joined channels are summed, in the order of names, up to the limit', () => {
  const lists: (readonly (readonly [string, number])[])[] = [
    [
      ['a', 1],
      ['c', 2],
    ],
    [
      ['b', 1],
      ['c', 3],
      ['d', 1],
    ],
  ];
  expect([...mergeJoined(lists, { limit: 3 })]).toEqual([
    ['a', 1],
    ['b', 1],
    ['c', 5],
  ]);
});

test('totals are summed and averages weighted', () => {
  const totals = (
    connections: number,
    averageQueueSize: number,
    users: Record<string, number>,
  ): StreamTotals => ({
    connections,
    averageQueueSize,
    liveConnections: connections,
    connectionsCreated: 5,
    connectionsClosed: 1,
    messagesSent: 10,
    messagesFailed: 1,
    channels: 2,
    connectionsByUser: users,
  });
  expect(mergeTotals([totals(1, 4, { x: 1 }), totals(3, 0, { x: 1, y: 2 })])).toEqual({
    connections: 4,
    averageQueueSize: 1,
    liveConnections: 4,
    connectionsCreated: 10,
    connectionsClosed: 2,
    messagesSent: 20,
    messagesFailed: 2,
    channels: 4,
    connectionsByUser: { x: 2, y: 2 },
  });
  expect(mergeTotals([totals(0, 0, {})]).averageQueueSize).toBe(0);
});
