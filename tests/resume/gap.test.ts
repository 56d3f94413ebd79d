/**
 * What cannot be replayed is announced once, with exact bounds, and only to the streams that it concerns.
 */
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ChannelGap } from '@message-push/protocol';
import { afterEach, describe, expect, it } from 'vitest';
import { addVerdict, judge, noVerdict } from '../support/messages/judge.ts';
import { type MessageBody, TestPublisher } from '../support/messages/publisher.ts';
import { Random } from '../support/random.ts';
import { atScale } from '../support/scale.ts';
import { TestServer } from '../support/service/server.ts';
import { StreamClient } from '../support/streams/stream-client.ts';
import { waitFor } from '../support/wait.ts';

const HISTORY = atScale(1000, 400);
const CHANNELS = Array.from({ length: 20 }, (_, i) => `channel:c${i}`);
const STREAMS = atScale(200, 80);
const ROUNDS = atScale(6, 3);
const PATIENTLY = { timeoutMs: 60_000, pollMs: 50 };

interface Stream {
  readonly client: StreamClient;
  readonly channels: readonly string[];
  readonly shown: number[];
  readonly shownSet: Set<number>;
  /** The list of channels of each gap event. */
  readonly gapEvents: ChannelGap[][];
}

let server: TestServer;
let streams: Stream[] = [];
afterEach(async () => {
  for (const { client } of streams) client.close();
  streams = [];
  await server.dispose();
});

function openStream(channels: readonly string[], query = ''): Stream {
  const shown: number[] = [];
  const shownSet = new Set<number>();
  const gapEvents: ChannelGap[][] = [];
  const client = new StreamClient({
    port: server.port,
    path: `/sse/stream?channels=${channels.join(',')}${query}`,
    maxRetryMs: 30,
    onEvent: (type, data) => {
      if (type === 'gap') gapEvents.push(JSON.parse(data).data.channels);
      else if (type === 'info') {
        const { n } = JSON.parse(data).data;
        shown.push(n);
        shownSet.add(n);
      }
    },
  });
  const stream = { client, channels, shown, shownSet, gapEvents };
  streams.push(stream);
  return stream;
}

/** The only publisher: the n-th message of a channel has offset n and carries `n`. */
class Oracle {
  readonly logs = new Map<string, number[]>(CHANNELS.map((c) => [c, []]));
  readonly channelOf: string[] = [];

  offset(channel: string): number {
    return this.logs.get(channel)?.length ?? 0;
  }

  async publish(counts: ReadonlyMap<string, number>, random: Random): Promise<void> {
    const order = [...counts].flatMap(([channel, count]) => Array<string>(count).fill(channel));
    const publisher = new TestPublisher(server.url);
    const shuffled = random.sample(order, order.length);
    for (let i = 0; i < shuffled.length; i += 200) {
      await publisher.batchUntilAcknowledged(
        shuffled.slice(i, i + 200).map((channel) => this.#message(channel)),
      );
    }
    publisher.close();
  }

  #message(channel: string): MessageBody {
    const n = this.channelOf.length;
    this.channelOf.push(channel);
    this.logs.get(channel)?.push(n);
    return {
      id: `m${n}`,
      type: 'info',
      service: 'test',
      target: { channel: channel.slice('channel:'.length) },
      data: { n },
    };
  }
}

describe('a stream that comes back after history was trimmed', () => {
  it('gets one gap event with the bounds of every channel that lost something, and none when nothing was lost', async () => {
    const random = new Random();
    console.log(`gap: seed ${random.seed}`);
    server = await TestServer.start({
      env: { MESSAGE_QUEUE_SIZE: String(HISTORY), MAX_OUTBOX_BYTES: '16MB', STREAM_RETRY_MS: '100' },
    });
    const oracle = new Oracle();
    for (let i = 0; i < STREAMS; i++) openStream(random.sample(CHANNELS, random.between(2, 6)));
    await waitFor('all streams', () => streams.every((s) => s.client.lastEventId !== ''));
    await oracle.publish(new Map(CHANNELS.map((c) => [c, random.between(HISTORY / 5, HISTORY / 2)])), random);
    const shownUpTo = new Map(streams.map((s) => [s, new Map(s.channels.map((c) => [c, 0]))]));
    let affected = 0;
    let unaffected = 0;
    let trimmed = 0;
    for (let round = 0; round < ROUNDS; round++) {
      await waitFor('what was published', () => streams.every((s) => hasNewest(s, oracle)), PATIENTLY);
      for (const s of streams) for (const c of s.channels) shownUpTo.get(s)?.set(c, oracle.offset(c));
      const away = random.sample(streams, STREAMS / 2);
      for (const { client } of away) client.holdOff();
      const flooded = random.sample(CHANNELS, 6);
      const busy = random.sample(CHANNELS, 12);
      await oracle.publish(
        new Map(
          CHANNELS.map((c) => {
            if (flooded.includes(c)) return [c, random.between(HISTORY + 1, 3 * HISTORY)];
            return [c, busy.includes(c) ? random.between(1, HISTORY) : 0];
          }),
        ),
        random,
      );
      const before = new Map(streams.map((s) => [s, s.gapEvents.length]));
      for (const { client } of away) client.comeBack();
      await waitFor('what is still there', () => streams.every((s) => hasNewest(s, oracle)), PATIENTLY);
      for (const s of streams) {
        const events = s.gapEvents.slice(before.get(s));
        const wanted = away.includes(s) ? wantedGaps(s, shownUpTo.get(s) ?? new Map(), oracle) : [];
        expect(events.map((gaps) => gaps.map(withoutEpochs))).toEqual(wanted.length === 0 ? [] : [wanted]);
        if (wanted.length > 0) affected++;
        else unaffected++;
        trimmed += wanted.reduce((sum, gap) => sum + (gap.missed ?? 0), 0);
      }
    }
    const verdict = noVerdict();
    for (const { channels, shown, gapEvents } of streams) {
      const one = { channels, shown, gaps: gapEvents.flat() };
      addVerdict(
        verdict,
        judge(one, oracle.logs, (n) => [oracle.channelOf[n] ?? '']),
      );
    }
    console.log(
      `gap: ${oracle.channelOf.length} messages, ${affected} returns with a gap, ${unaffected} without; ${verdict.shown} shown of ${verdict.expected}, ` +
        `${verdict.lost} lost to trimming and announced, ${verdict.unannounced} unannounced`,
    );
    expect(affected).toBeGreaterThan(0);
    expect(verdict).toEqual({
      ...noVerdict(),
      expected: verdict.expected,
      shown: verdict.shown,
      lost: trimmed,
    });
  });

  it('gets one gap event after the data of the service were lost, and then what the new log holds', async () => {
    const random = new Random();
    console.log(`gap: seed ${random.seed}`);
    server = await TestServer.start({ env: { STREAM_RETRY_MS: '100' } });
    const oracle = new Oracle();
    const early = openStream(['channel:c0', 'channel:c1', 'channel:c2']);
    const late = openStream(['channel:c0', 'channel:c1', 'channel:c2']);
    const other = openStream(['channel:c9']);
    await waitFor('all streams', () => streams.every((s) => s.client.lastEventId !== ''));
    // Nothing is published on c2 and c9, so nothing is lost there.
    await oracle.publish(
      new Map([
        ['channel:c0', 7],
        ['channel:c1', 5],
      ]),
      random,
    );
    await waitFor('all messages', () => early.shown.length === 12 && late.shown.length === 12);
    late.client.holdOff();
    await server.kill();
    rmSync(server.dataDir, { recursive: true });
    await server.start();
    await waitFor('a gap', () => early.gapEvents.length > 0);
    const again = new Oracle();
    await again.publish(
      new Map([
        ['channel:c0', 3],
        ['channel:c9', 1],
      ]),
      random,
    );
    late.client.comeBack();
    await waitFor('the new log', () => early.shown.length === 15 && late.shown.length === 15);
    await waitFor('the new log', () => other.shown.length === 1);
    const lost = (offset: number) => ({ offset, epoch: expect.stringMatching(/^[0-9a-z]{8}$/) });
    const common = { reason: 'epoch_changed', missed: null };
    expect(early.gapEvents).toEqual([
      [
        { ...common, channel: 'channel:c0', last_seen: lost(7), available: null, epoch: expect.any(String) },
        { ...common, channel: 'channel:c1', last_seen: lost(5), available: null, epoch: expect.any(String) },
      ],
    ]);
    expect(late.gapEvents).toEqual([
      [
        {
          ...common,
          channel: 'channel:c0',
          last_seen: lost(7),
          available: { from: 1, to: 3 },
          epoch: expect.any(String),
        },
        { ...common, channel: 'channel:c1', last_seen: lost(5), available: null, epoch: expect.any(String) },
      ],
    ]);
    expect(late.gapEvents[0]?.[0]?.epoch).not.toBe(late.gapEvents[0]?.[0]?.last_seen?.epoch);
    expect(other.gapEvents).toEqual([]);
    // The stream has a position in the new log now.
    late.client.cutAfter(0);
    await waitFor('a reconnect', () => late.client.isOpen);
    await again.publish(new Map([['channel:c0', 1]]), random);
    await waitFor('one more', () => late.shown.length === 16);
    expect(late.gapEvents.length).toBe(1);
  });

  it('gets one gap event when the service runs on an older copy of its data', async () => {
    const random = new Random();
    server = await TestServer.start({ env: { STREAM_RETRY_MS: '100' } });
    const oracle = new Oracle();
    const stream = openStream(['channel:c0', 'channel:c1']);
    await waitFor('the stream', () => stream.client.lastEventId !== '');
    await oracle.publish(
      new Map([
        ['channel:c0', 4],
        ['channel:c1', 4],
      ]),
      random,
    );
    await server.stop();
    const copy = join(server.folder, 'copy');
    cpSync(server.dataDir, copy, { recursive: true });
    await server.start();
    await oracle.publish(new Map([['channel:c0', 3]]), random);
    await waitFor('all messages', () => stream.shown.length === 11);
    await server.kill();
    rmSync(server.dataDir, { recursive: true });
    cpSync(copy, server.dataDir, { recursive: true });
    await server.start();
    await waitFor('a gap', () => stream.gapEvents.length > 0);
    expect(stream.gapEvents).toEqual([
      [
        {
          channel: 'channel:c0',
          reason: 'offset_in_future',
          last_seen: { offset: 7, epoch: expect.any(String) },
          missed: null,
          available: null,
          epoch: stream.gapEvents[0]?.[0]?.last_seen?.epoch,
        },
      ],
    ]);
  });
});

describe('a cursor that is none', () => {
  it.each([
    ['garbage', () => 'x'.repeat(20)],
    ['too long', () => 'z'.repeat(3000)],
    ['a number', () => '17'],
    ['markup', () => '"><script>'],
    ['that of another list', (foreign: string) => foreign],
  ])('is announced once, and the stream goes on from now: %s', async (_name, cursorOf) => {
    const random = new Random();
    server = await TestServer.start();
    const oracle = new Oracle();
    const foreign = openStream(['channel:c1', 'channel:c0']);
    await waitFor('the stream', () => foreign.client.lastEventId !== '');
    await oracle.publish(new Map([['channel:c0', 4]]), random);
    await waitFor('its messages', () => foreign.shown.length === 4);
    const cursor = encodeURIComponent(cursorOf(foreign.client.lastEventId));
    const stream = openStream(['channel:c0', 'channel:c1'], `&last_event_id=${cursor}`);
    await waitFor('the stream', () => stream.gapEvents.length > 0);
    await oracle.publish(new Map([['channel:c0', 1]]), random);
    await waitFor('what is new', () => stream.shown.length > 0);
    // The same URL with a valid Last-Event-ID, as a browser sends when it reconnects: the header wins.
    stream.client.cutAfter(0);
    await waitFor('a reconnect', () => stream.client.opens === 2 && stream.client.isOpen);
    await oracle.publish(new Map([['channel:c1', 1]]), random);
    await waitFor('what is new', () => stream.shown.length > 1);
    expect(stream.shown).toEqual([4, 5]);
    const lost = { reason: 'invalid_cursor', last_seen: null, missed: null, available: null };
    expect(stream.gapEvents).toEqual([
      ['channel:c0', 'channel:c1', 'broadcast'].map((channel) => ({
        ...lost,
        channel,
        epoch: expect.any(String),
      })),
    ]);
  });
});

function hasNewest({ channels, shownSet }: Stream, { logs }: Oracle): boolean {
  return channels.every((channel) =>
    logs
      .get(channel)
      ?.slice(-HISTORY)
      .every((n) => shownSet.has(n)),
  );
}

type Wanted = Omit<ChannelGap, 'epoch' | 'last_seen'> & { last_seen: number };

function wantedGaps({ channels }: Stream, seen: ReadonlyMap<string, number>, oracle: Oracle): Wanted[] {
  return channels.flatMap((channel) => {
    const last = seen.get(channel) ?? 0;
    const newest = oracle.offset(channel);
    const floor = Math.max(0, newest - HISTORY);
    if (last >= floor) return [];
    const available = { from: floor + 1, to: newest };
    return [{ channel, reason: 'trimmed' as const, last_seen: last, missed: floor - last, available }];
  });
}

function withoutEpochs({ epoch: _, last_seen, ...gap }: ChannelGap): Wanted {
  return { ...gap, last_seen: last_seen?.offset ?? -1 };
}
