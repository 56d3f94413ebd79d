import { decodeCursor, unbornPosition } from '@message-push/protocol';
import { describe, expect, it } from 'vitest';
import type { Publication } from '../../core/message.ts';
import { CatchUpPositions } from './catch-up-positions.ts';

const NOW_MS = 1_800_000_000_000;
const RETENTION_DAYS = 7;

function channelAt(name: string, offset: number, epoch = 'e1') {
  return { name, epoch, offset, positionText: '' };
}

function positionsOf(
  channels: readonly ReturnType<typeof channelAt>[],
  offsets: readonly number[],
  epoch = 'e1',
): CatchUpPositions {
  return new CatchUpPositions(
    channels,
    offsets.map((offset) => ({ epoch, offset })),
    RETENTION_DAYS,
  );
}

function publicationOn(channels: readonly string[], places: Readonly<Record<string, number>>): Publication {
  return {
    message: { id: 'm', type: 'info', channels, exclude: undefined, timeMs: NOW_MS, json: new Uint8Array() },
    places: Object.entries(places).map(([channel, offset]) => ({ channel, epoch: 'e1', offset })),
    order: 1,
  };
}

describe('positions of a session that catches up', () => {
  const user = channelAt('user:1', 5);
  const task = channelAt('task:1', 3);

  it('count what is still to come, and compare with what was announced', () => {
    const positions = positionsOf([user, task], [2, 3]);
    expect(positions.backlog).toBe(3);
    expect(positions.relationToChannels(NOW_MS)).toBe('behind');
    expect(positionsOf([user, task], [5, 3]).relationToChannels(NOW_MS)).toBe('equal');
    expect(positionsOf([user, task], [6, 3]).relationToChannels(NOW_MS)).toBe('ahead');
    expect(positionsOf([user, task], [6, 2]).relationToChannels(NOW_MS)).toBe('behind');
  });

  it('take the unborn epochs of two days for the same', () => {
    const day = 86_400_000;
    const today = { name: 'user:1', positionText: '', ...unbornPosition(NOW_MS) };
    const positions = new CatchUpPositions([today], [unbornPosition(NOW_MS - day)], RETENTION_DAYS);
    expect(positions.relationToChannels(NOW_MS)).toBe('equal');
  });

  it('show a publication on the first of its channels that was joined, and once', () => {
    const positions = positionsOf([user, task], [0, 0]);
    const channels = ['session:9', 'task:1', 'user:1'];
    expect(positions.pass(publicationOn(channels, { 'user:1': 1 }))).toBe(false);
    expect(positions.pass(publicationOn(channels, { 'task:1': 1 }))).toBe(true);
    expect(positions.pass(publicationOn(channels, { 'task:1': 1 }))).toBe(false);
    expect(positions.readFrom()).toEqual([
      { channel: 'user:1', offset: 1 },
      { channel: 'task:1', offset: 1 },
    ]);
  });

  it('tell a gap, and whether the page that was read is still usable', () => {
    const positions = positionsOf([user, task], [1, 1]);
    const trimmed = positions.recover(
      [
        { epoch: 'e1', offset: 5, floor: 3 },
        { epoch: 'e1', offset: 3, floor: 0 },
      ],
      NOW_MS,
    );
    expect(trimmed).toMatchObject({
      gaps: [{ channel: 'user:1', reason: 'trimmed', missed: 2 }],
      isPageUsable: true,
    });
    const forgotten = positions.recover(
      [
        { epoch: 'e2', offset: 1, floor: 0 },
        { epoch: 'e1', offset: 3, floor: 0 },
      ],
      NOW_MS,
    );
    expect(forgotten).toMatchObject({
      gaps: [{ channel: 'user:1', reason: 'epoch_changed' }],
      isPageUsable: false,
    });
  });

  it('show a page no further than the place where the log has lost something', () => {
    const positions = positionsOf([channelAt('user:1', 9, 'e2')], [1]);
    const log = { epoch: 'e2', offset: 9, floor: 0, ancestors: [{ epoch: 'e1', upTo: 4, isLossy: true }] };
    expect(positions.recover([log], NOW_MS).gaps).toEqual([]);
    expect(positions.hasLimit).toBe(true);
    expect(positions.pass(publicationOn(['user:1'], { 'user:1': 4 }))).toBe(true);
    expect(positions.pass(publicationOn(['user:1'], { 'user:1': 5 }))).toBe(false);
    positions.passPage([{ state: log, reachedOffset: 9 }]);
    expect(positions.readFrom()).toEqual([{ channel: 'user:1', offset: 4 }]);
  });

  it('write the cursor that a client comes back with', () => {
    const positions = positionsOf([user], [2]);
    const check = 'x';
    expect(positions.cursor(check)).toBe(`${check}~2.e1`);
    expect(decodeCursor(positions.cursor(check), ['user:1'])).toBeUndefined();
  });
});
