/** `kill -9` many times in the middle of publishing, and sometimes in the middle of starting. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { holesOf, readHistory } from '../support/messages/history.ts';
import { type MessageBody, TestPublisher } from '../support/messages/publisher.ts';
import { Random } from '../support/random.ts';
import { atScale } from '../support/scale.ts';
import { TestServer } from '../support/service/server.ts';
import { StreamClient } from '../support/streams/stream-client.ts';
import { waitFor } from '../support/wait.ts';

const KILLS = atScale(100, 12);
const KILLS_WHILE_STARTING = atScale(15, 3);
const PUBLISHERS = 6;
const CHANNELS = ['user:a', 'user:b', 'task:c', 'channel:d'];
const FIELDS: Readonly<Record<string, string>> = { user: 'user_id', task: 'task_id', channel: 'channel' };

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start({ env: { STREAM_RETRY_MS: '100', MESSAGE_QUEUE_SIZE: '1000000' } });
});
afterAll(() => server.dispose());

it(`${KILLS} kills lose nothing that was acknowledged, repeat nothing and leave no hole`, async () => {
  const random = new Random();
  console.log(`crash: seed ${random.seed}`);
  const shown: string[] = [];
  let gaps = 0;
  const stream = new StreamClient({
    port: server.port,
    path: '/sse/stream?user_id=a&channels=user:b,task:c,d&event_mode=named',
    onEvent: (type, data) => {
      if (type === 'gap') gaps++;
      else if (type === 'status') shown.push(JSON.parse(data).id);
    },
  });
  await stream.opened();
  const acknowledged = new Map<string, string>();
  let isOver = false;
  const work = async (index: number): Promise<TestPublisher> => {
    const publisher = new TestPublisher(server.url);
    const own = new Random(random.seed + index + 1);
    for (let n = 0; !isOver; n++) {
      const bodies = Array.from({ length: own.between(1, 20) }, (_, i) =>
        message(own, own.pick(CHANNELS), `p${index}-${n}-${i}`),
      );
      await publisher.batchUntilAcknowledged(bodies);
      for (const body of bodies) acknowledged.set(body.id ?? '', channelOf(body));
    }
    publisher.close();
    return publisher;
  };
  const publishers = Array.from({ length: PUBLISHERS }, (_, i) => work(i));
  // A publisher that fails ends the test at once.
  const failure = Promise.race(publishers).then(() => {
    if (!isOver) throw new Error('a publisher ended before the last kill');
    return new Promise<never>(() => {});
  });
  const startMs: number[] = [];
  const kills = async (): Promise<void> => {
    for (let kill = 0; kill < KILLS; kill++) {
      const isStarting = kill % Math.floor(KILLS / KILLS_WHILE_STARTING) === 3;
      if (isStarting) {
        server.spawn();
        // The delay puts the fault somewhere within the start.
        await delay(random.between(0, 450));
      } else if (kill > 0) {
        const since = performance.now();
        await server.start();
        startMs.push(performance.now() - since);
      }
      const wanted = acknowledged.size + random.between(1, 400);
      if (!isStarting) await waitFor('acknowledgements', () => acknowledged.size >= wanted, { pollMs: 1 });
      await server.kill();
    }
    await server.start();
  };
  await Promise.race([kills(), failure]);
  isOver = true;
  const done = await Promise.all(publishers);

  const stored = new Map<string, string>();
  let entries = 0;
  for (const channel of CHANNELS) {
    const history = await readHistory(server.url, channel);
    expect(holesOf(history), `holes in ${channel}`).toEqual([]);
    expect(history.floor).toBe(0);
    for (const {
      message: { id, data },
    } of history.entries) {
      entries++;
      expect(data['check'], `body of ${id}`).toBe(checkOf(id));
      stored.set(id, channel);
    }
  }
  await waitFor('every message on the stream', () => shown.length >= entries);
  stream.close();
  const retries = done.reduce((sum, p) => sum + p.retries, 0);
  const repeats = done.reduce((sum, p) => sum + p.repeats, 0);
  const slowest = Math.max(...startMs).toFixed(0);
  console.log(
    `crash: ${KILLS} kills, ${server.starts} starts (slowest to readiness ${slowest} ms); ${acknowledged.size} acknowledged, ` +
      `${entries} stored, ${retries} publishes repeated, ${repeats} messages answered as repeats; ` +
      `stream shown ${shown.length} over ${stream.opens} connections`,
  );
  expect(stored.size, 'stored once').toBe(entries);
  expect([...acknowledged].filter(([id, channel]) => stored.get(id) !== channel)).toEqual([]);
  // Every publisher retries until it is answered, so everything is acknowledged in the end.
  expect(stored.size).toBe(acknowledged.size);
  expect(new Set(shown).size, 'shown once').toBe(shown.length);
  expect(new Set(shown)).toEqual(new Set(stored.keys()));
  expect(gaps).toBe(0);
  expect(server.starts).toBeGreaterThanOrEqual(KILLS + 1);
});

function message(random: Random, channel: string, id: string): MessageBody {
  const [prefix = '', name = ''] = channel.split(':');
  const text = 'y'.repeat(random.between(0, 2000));
  return {
    id,
    type: 'status',
    service: 'test',
    target: { [FIELDS[prefix] ?? '']: name },
    data: { check: checkOf(id), text },
  };
}

function channelOf({ target }: MessageBody): string {
  const [field = '', name = ''] = Object.entries(target ?? {})[0] ?? [];
  const prefix = Object.keys(FIELDS).find((p) => FIELDS[p] === field);
  return `${prefix}:${name}`;
}

function checkOf(id: string): string {
  return Array.from(id).toReversed().join('');
}
