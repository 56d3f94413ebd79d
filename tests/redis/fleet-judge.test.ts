/** The judge of the fleet's runs finds what is wrong in a record: a test that relies on it can fail. */
import type { ChannelGap, GapReason } from '@message-push/protocol';
import { describe, expect, it } from 'vitest';
import { type FleetVerdict, judgeFleet, NOTHING_LOST } from '../support/redis/fleet-judge.ts';
import type { SentMessage } from '../support/redis/fleet-record.ts';

const PUBLISHERS = 2;

interface Change {
  sent: SentMessage[];
  logs: Map<string, { messages: number[]; holes: number[] }>;
  streams: { channels: string[]; told: number[]; gaps: ChannelGap[][] }[];
}

/**
 * Messages 0 … 19 of two publishers in turn, on `channel:a` (even) and `task:b` (odd), and 20 on both; streams of a,
 * of b, of both, and another one of a.
 */
function goodRun(): Change {
  const sent: SentMessage[] = Array.from({ length: 20 }, (_, n) => ({
    publisher: Math.floor(n / 2) % PUBLISHERS,
    channels: [n % 2 === 0 ? 'channel:a' : 'task:b'],
    isAcknowledged: true,
  }));
  sent.push({ publisher: 0, channels: ['channel:a', 'task:b'], isAcknowledged: true });
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
      // The two channels are in no order with each other.
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

function gapOn(channel: string, reason: GapReason): ChannelGap[] {
  return [{ channel, reason, last_seen: null, missed: null, available: null, epoch: null }];
}

/** Tells the stream of a gap before its entry `at`. */
function tellGap(run: Change, index: number, at: number, channel: string, reason: GapReason): void {
  const { told, gaps } = stream(run, index);
  gaps.push(gapOn(channel, reason));
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
        // 0 and 4 are of the same publisher.
        log(run, 'channel:a').messages.splice(0, 3, 4, 2, 0);
        for (const i of [0, 3]) stream(run, i).told.splice(0, 3, 4, 2, 0);
        stream(run, 2).told.splice(10, 3, 4, 2, 0);
      },
      { overtaken: 4 },
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
        if (message !== undefined) message.isAcknowledged = false;
        stream(run, 1).told.splice(2, 1);
      },
      { missing: 1, unannounced: 1 },
    ],
  ])('finds %s', (_what, change, wrong) => {
    expect(verdictOf(change)).toEqual(wrong);
  });

  it('counts as announced what a gap of that channel tells of in its place', () => {
    const lose = (run: Change): void => void stream(run, 0).told.splice(4, 2);
    const with_ = (at: number, channel: string, reason: GapReason) => (run: Change) => {
      lose(run);
      tellGap(run, 0, at, channel, reason);
    };
    expect(verdictOf(lose)).toEqual({ missing: 2, unannounced: 2 });
    expect(verdictOf(with_(4, 'channel:a', 'trimmed'))).toEqual({ missing: 2 });
    expect(verdictOf(with_(4, 'task:b', 'trimmed'))).toEqual({ missing: 2, unannounced: 2 });
    expect(verdictOf(with_(2, 'channel:a', 'trimmed'))).toEqual({ missing: 2, unannounced: 2 });
    expect(verdictOf(with_(7, 'channel:a', 'trimmed'))).toEqual({ missing: 2, unannounced: 2 });
    // That a failover has lost something may become known only later.
    expect(verdictOf(with_(7, 'channel:a', 'rolled_back'))).toEqual({ missing: 2 });
    expect(verdictOf(with_(0, 'channel:a', 'rolled_back'))).toEqual({ missing: 2, unannounced: 2 });
  });

  it('lets a message be shown again after a gap that says that its log went back, and after no other', () => {
    const again = (reason: GapReason) => (run: Change) => {
      stream(run, 0).told.splice(4, 0, 4, 6);
      tellGap(run, 0, 4, 'channel:a', reason);
    };
    expect(verdictOf(again('rolled_back'))).toEqual({ shownAgain: 2 });
    expect(verdictOf(again('trimmed'))).toEqual({ repeated: 2 });
  });
});
