/** The judge of fleet runs finds every kind of fault in a record, so that tests which rely on it can fail. */
import type { GapReason } from '@message-push/protocol';
import { describe, expect, it } from 'vitest';
import { type FleetVerdict, judgeFleet, NOTHING_LOST } from '../support/redis/fleet-judge.ts';
import type { SentMessage, ToldGap } from '../support/redis/fleet-record.ts';

const PUBLISHERS = 2;

interface Change {
  sent: SentMessage[];
  logs: Map<string, { messages: number[]; holes: number[] }>;
  streams: { channels: string[]; told: number[]; gaps: ToldGap[] }[];
}

/**
 * Messages 0 … 19 of two publishers in turn, on `channel:a` (even) and `task:b` (odd), and 20 on both; streams of a,
 * of b, of both, and another one of a.
 */
function goodRun(): Change {
  const sent: SentMessage[] = Array.from({ length: 20 }, (_, n) => ({
    publisher: Math.floor(n / 2) % PUBLISHERS,
    channels: [n % 2 === 0 ? 'channel:a' : 'task:b'],
    acknowledgedAs: n + 1,
  }));
  sent.push({ publisher: 0, channels: ['channel:a', 'task:b'], acknowledgedAs: 21 });
  const of = (channel: string): number[] =>
    [...sent.keys()].filter((n) => sent[n]?.channels.includes(channel));
  const [a, b] = [of('channel:a'), of('task:b')];
  return {
    sent,
    logs: new Map([
      ['channel:a', { messages: [...a], holes: [] }],
      ['task:b', { messages: [...b], holes: [] }],
    ]),
    streams: [
      { channels: ['channel:a'], told: [...a], gaps: [] },
      { channels: ['task:b'], told: [...b], gaps: [] },
      // There is no order between two channels.
      { channels: ['task:b', 'channel:a'], told: [...b.slice(0, -1), ...a], gaps: [] },
      { channels: ['channel:a'], told: [...a], gaps: [] },
    ],
  };
}

function stream(run: Change, index: number): Change['streams'][number] {
  const found = run.streams[index];
  if (found === undefined) throw new Error(`there is no stream ${index}`);
  return found;
}

function log(run: Change, channel: string): { messages: number[]; holes: number[] } {
  const found = run.logs.get(channel);
  if (found === undefined) throw new Error(`there is no log ${channel}`);
  return found;
}

/** Inserts a gap before entry `at` of the stream, at the time when `acknowledged` messages were acknowledged. */
function tellGap(
  run: Change,
  index: number,
  gap: { at: number; channel: string; reason: GapReason; acknowledged?: number },
): void {
  const { at, channel, reason, acknowledged = 21 } = gap;
  const { told, gaps } = stream(run, index);
  const unknown = { last_seen: null, missed: null, available: null, epoch: null };
  gaps.push({ channels: [{ channel, reason, ...unknown }], acknowledged });
  told.splice(at, 0, -gaps.length);
}

function verdictOf(change: (run: Change) => void): Partial<FleetVerdict> {
  const run = goodRun();
  change(run);
  const { verdict, offences } = judgeFleet(run);
  const wrong = Object.entries(verdict).filter(
    ([name, count]) => count > 0 && !['acknowledged', 'shown', 'gapEvents'].includes(name),
  );
  expect(offences.length > 0).toBe(wrong.length > 0);
  return Object.fromEntries(wrong);
}

describe('the judge', () => {
  it('finds nothing in a run without a fault', () => {
    const { verdict } = judgeFleet(goodRun());
    expect(verdict).toMatchObject({
      ...NOTHING_LOST,
      acknowledged: 21,
      shown: 54,
      gapEvents: 0,
      shownAgain: 0,
    });
    expect(verdictOf(() => {})).toEqual({});
  });

  it.each<[string, (run: Change) => void, Partial<FleetVerdict>]>([
    [
      'a delivery that is taken out',
      (run) => stream(run, 0).told.splice(3, 1),
      { missing: 1, unannounced: 1 },
    ],
    ['the first one taken out', (run) => stream(run, 0).told.splice(0, 1), { missing: 1, unannounced: 1 }],
    ['the last one taken out', (run) => stream(run, 1).told.pop(), { missing: 1, unannounced: 1 }],
    [
      'a stream that was told nothing',
      (run) => stream(run, 1).told.splice(0),
      { missing: 11, unannounced: 11 },
    ],
    ['a delivery that is repeated', (run) => stream(run, 0).told.splice(5, 0, 6), { repeated: 1 }],
    ['two that are swapped', (run) => stream(run, 0).told.splice(2, 2, 6, 4), { outOfOrder: 1 }],
    ['a message that nobody sent', (run) => stream(run, 0).told.push(99), { phantom: 1 }],
    ['a message of another channel', (run) => stream(run, 0).told.push(1), { phantom: 1 }],
    ['a message that is no number', (run) => stream(run, 0).told.push(Number.NaN), { phantom: 1 }],
    ['a message to two channels shown for each', (run) => stream(run, 2).told.push(20), { repeated: 1 }],
    ['an entry that the log lost', (run) => log(run, 'task:b').messages.splice(2, 1), { unstored: 1 }],
    ['an entry that the log has twice', (run) => log(run, 'task:b').messages.push(19), { repeated: 1 }],
    ['an offset without an entry', (run) => log(run, 'task:b').holes.push(7), { holes: 1 }],
    ['an entry that nobody sent', (run) => log(run, 'task:b').messages.push(99), { phantom: 1 }],
    [
      'a publisher whose messages are stored in another order, which all streams show',
      (run) => {
        // Messages 0 and 4 have the same publisher.
        log(run, 'channel:a').messages.splice(0, 3, 4, 2, 0);
        for (const i of [0, 3]) stream(run, i).told.splice(0, 3, 4, 2, 0);
        stream(run, 2).told.splice(10, 3, 4, 2, 0);
      },
      { overtaken: 1 },
    ],
    [
      'streams that show in another order what the log has lost',
      (run) => {
        log(run, 'channel:a').messages.splice(0, 2);
        stream(run, 0).told.splice(0, 2, 2, 0);
      },
      { unstored: 2, outOfOrder: 1 },
    ],
    [
      'a message that was stored, and whose publisher knows nothing of it',
      (run) => {
        const message = run.sent[5];
        if (message !== undefined) message.acknowledgedAs = undefined;
        stream(run, 1).told.splice(2, 1);
      },
      { missing: 1, unannounced: 1 },
    ],
  ])('finds %s', (_what, change, wrong) => {
    expect(verdictOf(change)).toEqual(wrong);
  });

  it('counts as announced what was passed over where a gap of that channel tells of it', () => {
    const lose = (run: Change): void => void stream(run, 0).told.splice(4, 2);
    const told = (at: number, channel: string, reason: GapReason = 'trimmed') =>
      verdictOf((run) => {
        lose(run);
        tellGap(run, 0, { at, channel, reason });
      });
    expect(verdictOf(lose)).toEqual({ missing: 2, unannounced: 2 });
    expect(told(4, 'channel:a')).toEqual({ missing: 2 });
    expect(told(4, 'task:b')).toEqual({ missing: 2, unannounced: 2 });
    expect(told(2, 'channel:a')).toEqual({ missing: 2, unannounced: 2 });
    expect(told(7, 'channel:a')).toEqual({ missing: 2, unannounced: 2 });
    // The message is still stored: no log went back.
    expect(told(7, 'channel:a', 'rolled_back')).toEqual({ missing: 2, unannounced: 2 });
  });

  it('counts as announced what a log has lost when a gap tells of it after it was acknowledged', () => {
    const told = (at: number, reason: GapReason, acknowledged: number) =>
      verdictOf((run) => {
        // Takes out messages 8 and 10.
        for (const i of [0, 2, 3]) run.streams[i]?.told.splice(run.streams[i].told.indexOf(8), 2);
        log(run, 'channel:a').messages.splice(4, 2);
        for (const i of [0, 2, 3]) tellGap(run, i, { at, channel: 'channel:a', reason, acknowledged });
      });
    const lost = { unstored: 2, missing: 6 };
    expect(told(4, 'rolled_back', 11)).toEqual(lost);
    expect(told(2, 'rolled_back', 14)).toEqual(lost);
    expect(told(7, 'rolled_back', 21)).toEqual(lost);
    expect(told(4, 'rolled_back', 10)).toEqual({ ...lost, unannounced: 3 });
    expect(told(4, 'rolled_back', 8)).toEqual({ ...lost, unannounced: 6 });
    expect(told(7, 'trimmed', 21)).toEqual({ ...lost, unannounced: 6 });
  });

  it('lets a message be shown again after a gap that says that its log went back, and after no other', () => {
    const again = (first: number, second: number, reason: GapReason) =>
      verdictOf((run) => {
        stream(run, 0).told.splice(4, 0, first, second);
        tellGap(run, 0, { at: 6, channel: 'channel:a', reason });
      });
    expect(again(8, 10, 'rolled_back')).toEqual({ shownAgain: 2 });
    expect(again(8, 10, 'trimmed')).toEqual({ repeated: 2 });
    expect(again(10, 8, 'rolled_back')).toEqual({ shownAgain: 2 });
    expect(again(10, 8, 'trimmed')).toEqual({ repeated: 2, outOfOrder: 1 });
  });
});
