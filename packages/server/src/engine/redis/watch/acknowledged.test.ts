import { expect, test } from 'vitest';
import { AcknowledgedPositions } from './acknowledged.ts';

const all = (): boolean => true;
const position = (runId: string, channel: string, epoch: string, offset: number) => ({
  runId,
  channel,
  epoch,
  offset,
});

test('the farthest of each channel is told to every other run, and none to its own', () => {
  const positions = new AcknowledgedPositions();
  positions.note('old', 'user:a', 'e', 2);
  positions.note('old', 'user:a', 'e', 1);
  positions.note('old', 'user:b', 'e', 5);
  positions.note('new', 'user:a', 'f', 1);
  expect(positions.ofOtherRuns('new', all)).toEqual([
    position('old', 'user:a', 'e', 2),
    position('old', 'user:b', 'e', 5),
  ]);
  expect(positions.ofOtherRuns('old', (channel) => channel === 'user:b')).toEqual([]);
  expect(positions.ofOtherRuns('third', all)).toHaveLength(3);
});

test('an epoch that follows takes the place of the one before', () => {
  const positions = new AcknowledgedPositions();
  positions.note('old', 'user:a', 'e', 9);
  positions.note('old', 'user:a', 'f', 1);
  expect(positions.ofOtherRuns('new', all)).toEqual([position('old', 'user:a', 'f', 1)]);
});

test('what was noted is kept for five minutes at least, and for ten at most', () => {
  const positions = new AcknowledgedPositions();
  const minutes = (n: number): number => 1_800_000_000_000 + n * 60_000;
  positions.sweep(minutes(0));
  positions.note('old', 'user:a', 'e', 3);
  positions.note('old', 'user:b', 'e', 1);
  positions.sweep(minutes(5));
  // An answer that comes late does not take back what is known.
  positions.note('old', 'user:a', 'e', 2);
  expect(positions.ofOtherRuns('new', all)).toEqual([
    position('old', 'user:a', 'e', 3),
    position('old', 'user:b', 'e', 1),
  ]);
  positions.sweep(minutes(9));
  expect(positions.ofOtherRuns('new', all)).toHaveLength(2);
  positions.sweep(minutes(10));
  expect(positions.ofOtherRuns('new', all)).toEqual([position('old', 'user:a', 'e', 2)]);
  positions.sweep(minutes(15));
  expect(positions.ofOtherRuns('new', all)).toEqual([]);
});

test('what has been told is forgotten, unless more was acknowledged meanwhile', () => {
  const positions = new AcknowledgedPositions();
  positions.note('old', 'user:a', 'e', 3);
  positions.note('old', 'user:b', 'e', 3);
  const told = positions.ofOtherRuns('new', all);
  positions.note('old', 'user:b', 'e', 4);
  for (const each of told) positions.forget(each);
  expect(positions.ofOtherRuns('new', all)).toEqual([position('old', 'user:b', 'e', 4)]);
});

test('a generation that was full early does not shorten the time of the next one', () => {
  const positions = new AcknowledgedPositions();
  positions.sweep(0);
  for (let i = 0; i < 100_000; i++) positions.note('old', `user:${i}`, 'e', 1);
  positions.sweep(299_000);
  positions.sweep(301_000);
  expect(positions.ofOtherRuns('new', all)).toHaveLength(100_000);
});

test('they are bounded, however many channels there are', () => {
  const positions = new AcknowledgedPositions();
  for (let i = 0; i < 250_000; i++) positions.note('old', `user:${i}`, 'e', 1);
  const kept = positions.ofOtherRuns('new', all);
  expect(kept.length).toBeLessThanOrEqual(200_000);
  expect(kept.at(-1)?.channel).toBe('user:249999');
});
