/**
 * What a crash can leave of the store's files: a write-ahead log that ends anywhere, and worse. Nothing that was
 * acknowledged before the torn write is missing, nothing that is served is corrupt, and no repair by hand is needed.
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openStore } from '@message-push/server/engine/embedded/store/open-store';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { holesOf, readHistory } from '../support/messages/history.ts';
import { type MessageBody, TestPublisher } from '../support/messages/publisher.ts';
import { Random } from '../support/random.ts';
import { atScale } from '../support/scale.ts';
import { TestServer } from '../support/service/server.ts';
import { StreamClient } from '../support/streams/stream-client.ts';
import { waitFor } from '../support/wait.ts';

const TAIL_BYTES = 4096;
/** 17 divides nothing that the file is made of, so that cuts fall on every kind of byte. */
const CUT_EVERY_BYTES = atScale(1, 17);
const GARBLED_ENDS = atScale(256, 32);
const CHANNELS = ['a', 'b', 'c', 'd'];
/** A folder in memory if there is one, because the store syncs at every opening and closing. */
const FAST_TMP = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

let server: TestServer;
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(FAST_TMP, 'message-push-torn-'));
});
afterEach(async () => {
  await server.dispose();
  rmSync(folder, { recursive: true, force: true });
});

function makeMessages(random: Random, count: number): MessageBody[] {
  return Array.from({ length: count }, (_, n) => ({
    id: `m${n}`,
    type: 'info',
    service: 'test',
    target: { channel: random.pick(CHANNELS) },
    // Some fill several pages of the store.
    data: { n, text: letters(random, n % 10 === 0 ? 9000 : random.between(0, 900)) },
  }));
}

function letters(random: Random, length: number): string {
  return Array.from({ length }, () => String.fromCharCode(random.between(97, 122))).join('');
}

/** The bodies, by id, of everything that a store in `directory` serves. */
function readStore(directory: string): {
  bodies: Map<string, string>;
  setAside: string | undefined;
  holes: number;
} {
  const { store, opened } = openStore(directory, 0);
  try {
    const bodies = new Map<string, string>();
    let holes = 0;
    for (const { id: channel, offset } of opened.channels) {
      const request = {
        op: 'read',
        from: [{ channel, offset: 0 }],
        maxBytes: 1 << 26,
        nowMs: Date.now(),
      } as const;
      const page = store.reader.read(request);
      let end = 0;
      for (let row = 0; row * 5 < page.numbers.length; row++) {
        const size = page.numbers[row * 5 + 4] ?? 0;
        bodies.set(
          page.strings[row * 3] ?? '',
          Buffer.from(page.bodies.subarray(end, end + size)).toString(),
        );
        end += size;
      }
      holes += offset - page.numbers.length / 5;
    }
    return { bodies, setAside: opened.setAside, holes };
  } finally {
    store.close();
  }
}

describe('a write-ahead log that ends within its last write', () => {
  it('serves everything before that write, wherever in its last 4 KB it ends', async () => {
    const random = new Random();
    console.log(`torn tail: seed ${random.seed}`);
    server = await TestServer.start();
    const messages = makeMessages(random, 60);
    const publisher = new TestPublisher(server.url);
    for (let i = 0; i < messages.length; i += 5)
      await publisher.batchUntilAcknowledged(messages.slice(i, i + 5));
    const before = readFileSync(join(server.dataDir, 'messages.db-wal')).length;
    // One commit of several pages, whose acknowledgement counts as lost.
    await publisher.send({
      id: 'last',
      type: 'info',
      service: 'test',
      target: { channel: 'a' },
      data: { text: letters(random, 9000) },
    });
    publisher.close();
    await server.kill();
    const db = readFileSync(join(server.dataDir, 'messages.db'));
    const wal = readFileSync(join(server.dataDir, 'messages.db-wal'));
    const written = wal.length - before;
    expect(written, 'bytes of the last write').toBeGreaterThan(TAIL_BYTES);

    const restore = (tail: Uint8Array): void => {
      rmSync(folder, { recursive: true });
      mkdirSync(folder);
      writeFileSync(join(folder, 'messages.db'), db);
      writeFileSync(join(folder, 'messages.db-wal'), tail);
    };
    restore(wal);
    const whole = readStore(folder);
    for (const { id = '', data } of messages)
      expect(JSON.parse(whole.bodies.get(id) ?? '{}').data).toEqual(data);
    expect(whole.bodies.size).toBe(messages.length + 1);
    const acknowledged = new Map(whole.bodies);
    acknowledged.delete('last');

    let missing = 0;
    let corrupt = 0;
    let setAside = 0;
    let holes = 0;
    const check = (tail: Uint8Array): void => {
      restore(tail);
      const found = readStore(folder);
      if (found.setAside !== undefined) setAside++;
      holes += found.holes;
      for (const [id, body] of acknowledged)
        if (!found.bodies.has(id)) missing++;
        else if (found.bodies.get(id) !== body) corrupt++;
      for (const [id, body] of found.bodies) if (whole.bodies.get(id) !== body) corrupt++;
    };
    for (let cut = 1; cut <= TAIL_BYTES; cut += CUT_EVERY_BYTES) check(wal.subarray(0, wal.length - cut));
    // A page that was written in part or not at all, although the file has its full length.
    for (let i = 0; i < GARBLED_ENDS; i++) {
      const torn = Buffer.from(wal);
      const from = wal.length - random.between(1, TAIL_BYTES);
      if (i % 2 === 0) torn.fill(0, from);
      else for (let at = from; at < torn.length; at++) torn[at] = random.between(0, 255);
      check(torn);
    }
    console.log(
      `torn tail: a cut at every ${CUT_EVERY_BYTES} of ${TAIL_BYTES} bytes and ${GARBLED_ENDS} garbled ends of a last write of ${written} bytes; of ${acknowledged.size} ` +
        `acknowledged ${missing} missing, ${corrupt} corrupt, ${holes} holes, ${setAside} stores set aside`,
    );
    expect({ missing, corrupt, holes, setAside }).toEqual({ missing: 0, corrupt: 0, holes: 0, setAside: 0 });

    // The service itself continues from such files.
    for (const cut of [1, 2000, TAIL_BYTES]) {
      restore(wal.subarray(0, wal.length - cut));
      rmSync(server.dataDir, { recursive: true });
      cpSync(folder, server.dataDir, { recursive: true });
      await server.start();
      const again = new TestPublisher(server.url);
      const answer = await again.send({
        id: 'last',
        type: 'info',
        service: 'test',
        target: { channel: 'a' },
        data: { again: true },
      });
      again.close();
      expect(answer.status, 'the torn publish, repeated').toBe(200);
      const history = await readHistory(server.url, 'channel:a');
      expect(holesOf(history)).toEqual([]);
      expect(history.entries.filter((e) => e.message.id === 'last').length).toBe(1);
      await server.kill();
    }
  });
});

describe('a store whose main file is damaged', () => {
  const damages: Readonly<Record<string, (file: string, random: Random) => void>> = {
    'cut in the middle': (file) => truncateSync(file, Math.floor(readFileSync(file).length / 2)),
    'cut within a page': (file) => truncateSync(file, 5000),
    'cut within its header': (file) => truncateSync(file, 60),
    'without its header': (file, random) => garble(file, 0, 100, random),
    'another file': (file) => writeFileSync(file, 'not a store, a text\n'.repeat(5000)),
    zeros: (file) => writeFileSync(file, Buffer.alloc(readFileSync(file).length)),
    'garbled in its first page': (file, random) => garble(file, 100, 3000, random),
    'garbled in every page': (file, random) => {
      const { length } = readFileSync(file);
      for (let page = 1; page * 4096 < length; page++) garble(file, page * 4096, 16, random);
    },
  };

  const random = new Random();
  const messages = makeMessages(random, 40);
  /** The store as an orderly end leaves it: everything is in its main file. */
  let sound: string;
  /** The last event id of a stream that had seen all of it. */
  let cursor: string;

  beforeAll(async () => {
    console.log(`damaged store: seed ${random.seed}`);
    sound = mkdtempSync(join(FAST_TMP, 'message-push-sound-'));
    const source = await TestServer.start({ dataDir: sound });
    const publisher = new TestPublisher(source.url);
    const stream = new StreamClient({
      port: source.port,
      path: `/sse/stream?channels=${CHANNELS.join(',')}`,
    });
    await stream.opened();
    await publisher.batchUntilAcknowledged(messages);
    publisher.close();
    await waitFor(
      'the messages',
      () => stream.events.filter(({ type }) => type === 'info').length === messages.length,
    );
    cursor = stream.lastEventId;
    stream.close();
    expect(await source.stop()).toEqual({ code: 0, signal: null });
    await source.dispose();
  });
  afterAll(() => rmSync(sound, { recursive: true, force: true }));

  it.each(Object.keys(damages))(
    'is set aside, and the service starts and tells its streams: %s',
    async (name) => {
      const dataDir = join(folder, 'data');
      cpSync(sound, dataDir, { recursive: true });
      damages[name]?.(join(dataDir, 'messages.db'), random);
      server = await TestServer.start({ dataDir, env: { STREAM_RETRY_MS: '100' } });
      const gaps: string[] = [];
      const shown: string[] = [];
      const stream = new StreamClient({
        port: server.port,
        path: `/sse/stream?channels=${CHANNELS.join(',')}`,
        lastEventId: cursor,
        onEvent: (type, data) => {
          if (type === 'gap')
            gaps.push(...JSON.parse(data).data.channels.map((c: { reason: string }) => c.reason));
          else if (type === 'info') shown.push(JSON.parse(data).id);
        },
      });
      await waitFor('a gap', () => gaps.length > 0);
      const publisher = new TestPublisher(server.url);
      await publisher.batchUntilAcknowledged([
        { id: 'after', type: 'info', service: 'test', target: { channel: 'a' }, data: {} },
      ]);
      publisher.close();
      await waitFor('what is new', () => shown.at(-1) === 'after');
      stream.close();
      expect(new Set(gaps)).toEqual(new Set(['epoch_changed']));
      expect(readdirSync(server.dataDir).some((file) => file.includes('unreadable'))).toBe(true);
      const history = await readHistory(server.url, 'channel:a');
      expect(history.entries.map((e) => e.message.id)).toEqual(['after']);
      // The next start keeps the new store: it is not set aside again.
      await server.kill();
      await server.start();
      expect((await readHistory(server.url, 'channel:a')).epoch).toBe(history.epoch);
      expect(readdirSync(server.dataDir).filter((file) => /unreadable[^/]*Z$/.test(file)).length).toBe(1);
    },
  );
});

function garble(file: string, from: number, length: number, random: Random): void {
  const bytes = readFileSync(file);
  for (let at = from; at < Math.min(from + length, bytes.length); at++) bytes[at] = random.between(0, 255);
  writeFileSync(file, bytes);
}
