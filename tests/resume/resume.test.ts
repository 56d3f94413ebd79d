/**
 * The central promise of the service, under load: streams are cut at any byte and the server is killed in the middle
 * of its work, and every message still reaches every stream once and in order.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { holesOf, readHistory } from '../support/messages/history.ts';
import { addVerdict, judge, type Log, noVerdict, type ShownStream } from '../support/messages/judge.ts';
import { type MessageBody, TestPublisher } from '../support/messages/publisher.ts';
import { Random } from '../support/random.ts';
import { atScale } from '../support/scale.ts';
import { TestServer } from '../support/service/server.ts';
import { StreamClient } from '../support/streams/stream-client.ts';
import { waitFor, waitWhileMoving } from '../support/wait.ts';

const MESSAGES = atScale(100_000, 20_000);
const STREAMS = atScale(200, 100);
const PUBLISHERS = 4;
const BATCH = 100;
const KILLS = atScale(5, 3);
const CUTS_PER_BATCH = 3;
const TWO_CHANNEL_SHARE = 0.15;
const FIELDS = { channel: 'channel', task: 'task_id' } as const;
const CHANNELS = Array.from({ length: 20 }, (_, i) => (i < 10 ? `channel:c${i}` : `task:t${i - 10}`));

interface Sent {
  readonly publisher: number;
  readonly channels: readonly string[];
}

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start({
    env: { MESSAGE_QUEUE_SIZE: '1000000', STREAM_RETRY_MS: '100', MAX_CONNECTIONS: '2000' },
  });
});
afterAll(() => server.dispose());

it('streams that are cut at any byte and a server that is killed lose, repeat and reorder nothing', async () => {
  const random = new Random();
  console.log(`resume: seed ${random.seed}`);
  const sent: Sent[] = [];
  const streams = openStreams(random);
  await waitFor('all streams', () => streams.every((s) => s.client.lastEventId !== ''), {
    timeoutMs: 30_000,
  });

  const startedMs = performance.now();
  let acknowledged = 0;
  let cuts = 0;
  let kills = 0;
  let restarting: Promise<void> | undefined;
  const restart = async (): Promise<void> => {
    kills++;
    await server.kill();
    await server.start();
    restarting = undefined;
  };
  const publish = async (index: number): Promise<TestPublisher> => {
    const publisher = new TestPublisher(server.url);
    const own = new Random(random.seed + index + 1);
    for (let left = MESSAGES / PUBLISHERS; left > 0; left -= BATCH) {
      const bodies = Array.from({ length: Math.min(BATCH, left) }, () => makeMessage(own, index, sent));
      await publisher.batchUntilAcknowledged(bodies);
      acknowledged += bodies.length;
      for (let i = 0; i < CUTS_PER_BATCH; i++, cuts++)
        random.pick(streams).client.cutAfter(random.between(0, 20_000));
      const isKillDue = kills < Math.floor((acknowledged / MESSAGES) * (KILLS + 1)) && kills < KILLS;
      // Not awaited, so that the other publishers are interrupted in the middle of a batch.
      if (isKillDue && restarting === undefined) restarting = restart();
    }
    publisher.close();
    return publisher;
  };
  const publishers = await Promise.all(Array.from({ length: PUBLISHERS }, (_, i) => publish(i)));
  await restarting;
  const publishedMs = performance.now();

  const logs = await readLogs();
  const last = new TestPublisher(server.url);
  await last.broadcast({ id: 'last', type: 'custom', service: 'test', data: { n: -1 } });
  last.close();
  await waitWhileMoving(
    'the last message on every stream',
    () => streams.every((s) => s.isDone),
    () => streams.reduce((sum, s) => sum + s.shown.length, 0),
    { describe: () => `${streams.filter((s) => !s.isDone).length} streams have not seen it` },
  );
  const doneMs = performance.now();
  for (const { client } of streams) client.close();

  expectHistory(logs, sent);
  const verdict = noVerdict();
  for (const stream of streams)
    addVerdict(
      verdict,
      judge(stream, logs, (n) => sent[n]?.channels ?? []),
    );
  const reconnects = streams.reduce((sum, s) => sum + s.client.opens - 1, 0);
  const seconds = (from: number, to: number): string => ((to - from) / 1000).toFixed(1);
  console.log(
    `resume: ${sent.length} messages, ${CHANNELS.length} channels, ${STREAMS} streams; ${verdict.shown} shown of ` +
      `${verdict.expected}; ${cuts} cuts, ${kills} kills, ${reconnects} reconnects; ` +
      `${sum(publishers, (p) => p.retries)} publishes repeated, ${sum(publishers, (p) => p.repeats)} messages ` +
      `answered as repeats; lost ${verdict.lost}, repeated ${verdict.repeated}, out of order ` +
      `${verdict.outOfOrder}, unannounced ${verdict.unannounced}; published in ` +
      `${seconds(startedMs, publishedMs)} s, delivered ${seconds(publishedMs, doneMs)} s later`,
  );
  expect(verdict).toEqual({
    expected: verdict.expected,
    shown: verdict.expected,
    lost: 0,
    repeated: 0,
    outOfOrder: 0,
    unannounced: 0,
    foreign: 0,
  });
  expect(streams.flatMap((s) => s.gaps)).toEqual([]);
  expect(streams.filter((s) => s.client.isFailed)).toEqual([]);
  expect(kills).toBe(KILLS);
  expect(reconnects).toBeGreaterThan(STREAMS * KILLS);
});

type Stream = ShownStream & { client: StreamClient; shown: number[]; isDone: boolean };

function openStreams(random: Random): Stream[] {
  return Array.from({ length: STREAMS }, () => {
    const channels = random.sample(CHANNELS, random.between(2, 4));
    const stream = {
      channels,
      shown: [] as number[],
      gaps: [] as ShownStream['gaps'][number][],
      isDone: false,
    };
    const client = new StreamClient({
      port: server.port,
      path: `/sse/stream?channels=${channels.join(',')}`,
      maxRetryMs: random.between(10, 200),
      onEvent: (type, data) => {
        if (type === 'gap') stream.gaps.push(...JSON.parse(data).data.channels);
        else if (type === 'progress') stream.shown.push(Number(/"id":"m(\d+)"/.exec(data)?.[1]));
        else if (type === 'custom') stream.isDone = true;
      },
    });
    return Object.assign(stream, { client });
  });
}

function makeMessage(random: Random, publisher: number, sent: Sent[]): MessageBody {
  const first = random.pick(CHANNELS);
  const channels = [first];
  if (random.next() < TWO_CHANNEL_SHARE) {
    channels.push(random.pick(CHANNELS.filter((c) => prefixOf(c) !== prefixOf(first))));
    // A publication lists its channels in the order of the target's fields.
    channels.sort();
  }
  const id = `m${sent.length}`;
  sent.push({ publisher, channels });
  const target = Object.fromEntries(
    channels.map((c) => [FIELDS[prefixOf(c)], c.slice(c.indexOf(':') + 1)] as const),
  );
  return {
    id,
    type: 'progress',
    service: 'test',
    target,
    data: { text: 'x'.repeat(random.between(0, 120)) },
  };
}

function prefixOf(channel: string): keyof typeof FIELDS {
  return channel.startsWith('task:') ? 'task' : 'channel';
}

async function readLogs(): Promise<Map<string, Log>> {
  const logs = new Map<string, Log>();
  for (const channel of CHANNELS) {
    const history = await readHistory(server.url, channel);
    expect(holesOf(history), `holes in ${channel}`).toEqual([]);
    logs.set(
      channel,
      history.entries.map((e) => Number(e.message.id.slice(1))),
    );
  }
  return logs;
}

/** Expects every message to be stored once on each of its channels, in its publisher's order. All were acknowledged. */
function expectHistory(logs: ReadonlyMap<string, Log>, sent: readonly Sent[]): void {
  const wanted = new Map<string, number>(CHANNELS.map((c) => [c, 0]));
  for (const { channels } of sent) for (const c of channels) wanted.set(c, (wanted.get(c) ?? 0) + 1);
  for (const [channel, log] of logs) {
    expect(new Set(log).size, `messages on ${channel}`).toBe(wanted.get(channel));
    expect(log.length, `entries on ${channel}`).toBe(wanted.get(channel));
    const lastOf = new Map<number, number>();
    for (const n of log) {
      const publisher = sent[n]?.publisher ?? -1;
      expect(n, `order of publisher ${publisher} on ${channel}`).toBeGreaterThan(lastOf.get(publisher) ?? -1);
      lastOf.set(publisher, n);
    }
  }
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}
