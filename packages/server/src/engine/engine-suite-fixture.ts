/**
 * The engine suite: what `core/engine.ts` promises, as tests that every engine passes. An engine's test file calls
 * `describeEngine` with a way to make engines on one shared store.
 */
import { isUnborn } from '@message-push/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Engine, EngineListener } from '../core/engine.ts';
import type { Draft, Publication } from '../core/message.ts';

export interface EngineBounds {
  maxMessagesPerChannel: number;
  idempotencyTtlMs: number;
}

export interface EngineUnderTest {
  /** Makes a new engine on this test's store. All other bounds are generous. */
  create(bounds?: Partial<EngineBounds>): Engine;
  /** Lets time pass for the engines of this test. */
  advanceClock(ms: number): Promise<void>;
  nowMs(): number;
  dispose(): Promise<void>;
}

class Recorder implements EngineListener {
  readonly publications: Publication[] = [];
  onPublications(publications: readonly Publication[]): void {
    this.publications.push(...publications);
  }
  onSuspect(): void {}
}

let draftCount = 0;

function draft(
  channels: readonly string[],
  nowMs: number,
  options: Partial<Draft> & { id?: string; text?: string } = {},
): Draft {
  const { id = `m${++draftCount}`, text = id, ...rest } = options;
  return {
    message: {
      id,
      type: 'info',
      channels,
      exclude: undefined,
      timeMs: nowMs,
      json: Buffer.from(JSON.stringify({ id, text })),
    },
    ttlMs: undefined,
    hasOwnTtl: false,
    fingerprint: undefined,
    ack: 'stored',
    ...rest,
  };
}

const FINGERPRINT = 'abcdefghijklmnopqrstuQ';
const OTHER_FINGERPRINT = 'bbcdefghijklmnopqrstuQ';
const textOf = (p: Publication): unknown => JSON.parse(Buffer.from(p.message.json).toString()).text;
const offsetsOf = (publications: readonly Publication[], channel: string): number[] =>
  publications.flatMap((p) =>
    p.places.filter((place) => place.channel === channel).map((place) => place.offset),
  );

const PAGE = 1 << 20;

export function describeEngine(name: string, setUp: () => Promise<EngineUnderTest>): void {
  describe(`${name} engine`, () => {
    let under: EngineUnderTest;
    let opened: Engine[];

    beforeEach(async () => {
      under = await setUp();
      opened = [];
    });
    afterEach(async () => {
      for (const engine of opened) await engine.close();
      await under.dispose();
    });

    const open = async (
      bounds?: Partial<EngineBounds>,
      listener: EngineListener = new Recorder(),
    ): Promise<Engine> => {
      const engine = under.create(bounds);
      await engine.open(listener);
      opened.push(engine);
      return engine;
    };
    const close = async (engine: Engine): Promise<void> => {
      opened.splice(opened.indexOf(engine), 1);
      await engine.close();
    };
    const publish = (engine: Engine, channel: string, options?: Parameters<typeof draft>[2]) =>
      engine.publish(draft([channel], under.nowMs(), options));
    const readAll = async (engine: Engine, channel: string, offset = 0) =>
      (await engine.read([{ channel, offset }], PAGE)).publications;

    it('numbers the publications of a channel from 1 without holes', async () => {
      const engine = await open();
      const receipts = await Promise.all(Array.from({ length: 50 }, () => publish(engine, 'user:a')));
      expect(receipts.map((r) => r.places[0]?.offset)).toEqual(Array.from({ length: 50 }, (_, i) => i + 1));
      expect(new Set(receipts.map((r) => r.places[0]?.epoch)).size).toBe(1);
      expect((await publish(engine, 'user:b')).places[0]?.offset).toBe(1);
    });

    it('announces what was published on a watched channel, in order, with its bytes', async () => {
      const recorder = new Recorder();
      const engine = await open({}, recorder);
      await engine.watch(['user:a']);
      await Promise.all([
        publish(engine, 'user:a', { text: 'one' }),
        publish(engine, 'user:a', { text: 'two' }),
      ]);
      await expect.poll(() => recorder.publications.map(textOf)).toEqual(['one', 'two']);
      expect(offsetsOf(recorder.publications, 'user:a')).toEqual([1, 2]);
    });

    it('says of a channel without publications that it is unborn', async () => {
      const engine = await open();
      const [state] = await engine.states(['user:nobody']);
      expect(state).toMatchObject({ offset: 0, floor: 0 });
      expect(isUnborn({ offset: 0, epoch: state?.epoch ?? '' })).toBe(true);
      expect(await readAll(engine, 'user:nobody')).toEqual([]);
    });

    it('reads what follows a position, and nothing else', async () => {
      const engine = await open();
      for (const text of ['a', 'b', 'c']) await publish(engine, 'task:1', { text });
      expect((await readAll(engine, 'task:1', 1)).map(textOf)).toEqual(['b', 'c']);
      const page = await engine.read([{ channel: 'task:1', offset: 3 }], PAGE);
      expect(page).toMatchObject({ publications: [], isComplete: true });
      expect(page.channels[0]).toMatchObject({ reachedOffset: 3, state: { offset: 3, floor: 0 } });
    });

    it('pages by bytes and always makes progress', async () => {
      const engine = await open();
      for (let i = 1; i <= 20; i++) await publish(engine, 'task:1', { text: String(i) });
      const texts: unknown[] = [];
      let offset = 0;
      for (let pages = 1; ; pages++) {
        const page = await engine.read([{ channel: 'task:1', offset }], 60);
        texts.push(...page.publications.map(textOf));
        offset = page.channels[0]?.reachedOffset ?? 0;
        if (page.isComplete) {
          expect(pages).toBeGreaterThan(5);
          break;
        }
      }
      expect(texts).toEqual(Array.from({ length: 20 }, (_, i) => String(i + 1)));
      const huge = await engine.read([{ channel: 'task:1', offset: 0 }], 1);
      expect(huge.publications).toHaveLength(1);
    });

    it('merges several channels in the order of publishing and keeps a message whole', async () => {
      const engine = await open();
      const pauseMs = 5; // The masters of a cluster have clocks of their own, which are a little apart.
      await publish(engine, 'user:1', { text: 'u1' });
      await under.advanceClock(pauseMs);
      await publish(engine, 'task:1', { text: 't1' });
      await under.advanceClock(pauseMs);
      await engine.publish(draft(['user:1', 'task:1'], under.nowMs(), { text: 'both' }));
      await under.advanceClock(pauseMs);
      await publish(engine, 'user:1', { text: 'u2' });
      const page = await engine.read(
        [
          { channel: 'task:1', offset: 0 },
          { channel: 'user:1', offset: 0 },
        ],
        PAGE,
      );
      const texts = page.publications.map(textOf);
      expect(texts.filter((text, i) => text !== texts[i - 1])).toEqual(['u1', 't1', 'both', 'u2']);
      // The message comes whole, or in parts that have all of its places together.
      const parts = page.publications.filter((p) => textOf(p) === 'both');
      expect(parts.flatMap((p) => p.places)).toHaveLength(2);
      for (const { message } of parts) expect(message.channels).toEqual(['user:1', 'task:1']);
    });

    it('tells of the other channels of a message to a reader of one', async () => {
      const engine = await open();
      await engine.publish(draft(['user:1', 'task:1'], under.nowMs()));
      const [publication] = await readAll(engine, 'task:1');
      expect(publication?.message.channels).toEqual(['user:1', 'task:1']);
      expect(publication?.places.map((p) => p.channel)).toEqual(['task:1']);
    });

    it('gives a connection channel no history and still announces', async () => {
      const recorder = new Recorder();
      const engine = await open({}, recorder);
      const channel = `connection:${engine.newConnectionId()}`;
      const receipt = await publish(engine, channel, { text: 'direct' });
      expect(receipt.places).toEqual([{ channel, epoch: '', offset: 0 }]);
      await expect.poll(() => recorder.publications.map(textOf)).toEqual(['direct']);
      expect((await engine.channels({ prefix: '', after: '', limit: 10 })).total).toBe(0);
    });

    it('keeps publications, offsets and epochs over a restart', async () => {
      const first = await open();
      const receipt = await publish(first, 'user:a', { text: 'kept' });
      await close(first);
      const second = await open();
      expect((await readAll(second, 'user:a')).map(textOf)).toEqual(['kept']);
      const next = await publish(second, 'user:a');
      expect(next.places[0]).toEqual({ channel: 'user:a', epoch: receipt.places[0]?.epoch, offset: 2 });
    });

    it('answers a repeated id with the first result and stores it once, also after a restart', async () => {
      const first = await open();
      const repeat = { id: 'same', fingerprint: FINGERPRINT };
      const original = await publish(first, 'user:a', repeat);
      expect(original.isRepeat).toBe(false);
      await under.advanceClock(10);
      const again = await publish(first, 'user:a', repeat);
      expect(again).toEqual({ ...original, isRepeat: true });
      await close(first);
      const second = await open();
      expect(await publish(second, 'user:a', repeat)).toEqual({ ...original, isRepeat: true });
      expect(await readAll(second, 'user:a')).toHaveLength(1);
    });

    it('stores an id once when its repeats arrive together', async () => {
      const engine = await open();
      const receipts = await Promise.all(
        [1, 2, 3].map(() => publish(engine, 'user:a', { id: 'same', fingerprint: FINGERPRINT })),
      );
      expect(receipts.filter((r) => r.isRepeat)).toHaveLength(2);
      expect(await readAll(engine, 'user:a')).toHaveLength(1);
    });

    it('refuses a repeated id with another body, and forgets ids after their time', async () => {
      const engine = await open({ idempotencyTtlMs: 1000 });
      await publish(engine, 'user:a', { id: 'same', fingerprint: FINGERPRINT });
      await expect(
        publish(engine, 'user:a', { id: 'same', fingerprint: OTHER_FINGERPRINT }),
      ).rejects.toMatchObject({
        code: 'id_conflict',
      });
      await under.advanceClock(1001);
      expect((await publish(engine, 'user:a', { id: 'same', fingerprint: OTHER_FINGERPRINT })).isRepeat).toBe(
        false,
      );
    });

    it('serves no more than its bound by count, and says what is lost', async () => {
      const engine = await open({ maxMessagesPerChannel: 10 });
      for (let i = 1; i <= 35; i++) await publish(engine, 'user:a', { text: String(i) });
      const [state] = await engine.states(['user:a']);
      expect(state).toMatchObject({ offset: 35, floor: 25 });
      const page = await engine.read([{ channel: 'user:a', offset: 3 }], PAGE);
      expect(page.channels[0]?.state.floor).toBe(25);
      expect((await readAll(engine, 'user:a', 25)).map(textOf)).toEqual(
        Array.from({ length: 10 }, (_, i) => String(26 + i)),
      );
    });

    it('keeps apart what was published together', async () => {
      const recorder = new Recorder();
      const engine = await open({ maxMessagesPerChannel: 40 }, recorder);
      await engine.watch(['user:a']);
      const texts = Array.from({ length: 100 }, (_, i) => String(i + 1));
      // Stretches of one channel, of both channels, and of messages with a ttl of their own. Some ids come twice.
      const receipts = await Promise.all(
        texts.map((text, i) => {
          const own = i % 20 > 12 ? { ttlMs: 60_000, hasOwnTtl: true } : {};
          const first = i % 15 === 14 ? i - 2 : i;
          const channels = first % 10 === 9 ? ['user:a', 'user:b'] : ['user:a'];
          const options = { id: `t${first}`, text, fingerprint: FINGERPRINT, ...own };
          return engine.publish(draft(channels, under.nowMs(), options));
        }),
      );
      const stored = texts.filter((_, i) => i % 15 !== 14);
      const count = stored.length;
      expect(receipts.map(({ isRepeat }) => isRepeat)).toEqual(texts.map((_, i) => i % 15 === 14));
      expect(receipts[14]?.places).toEqual(receipts[12]?.places);
      const offsets = receipts.filter(({ isRepeat }) => !isRepeat).map(({ places }) => places[0]?.offset);
      expect(offsets).toEqual(stored.map((_, i) => i + 1));
      await expect.poll(() => recorder.publications.length).toBe(count);
      expect(recorder.publications.map(textOf)).toEqual(stored);
      const orders = recorder.publications.map(({ order }) => order);

      const floor = count - 40;
      for (let offset = floor - 3; offset <= count; offset++) {
        const page = await engine.read([{ channel: 'user:a', offset }], PAGE);
        const { state } = page.channels[0] ?? {};
        expect(state?.offset).toBe(count);
        if (offset < floor) expect(state?.floor).toBe(floor);
        const { publications } = page;
        expect(publications.map(textOf)).toEqual(stored.slice(Math.max(offset, floor)));
        expect(publications.map(({ order }) => order)).toEqual(orders.slice(Math.max(offset, floor)));
      }
      expect(await engine.states(['user:a'])).toMatchObject([{ offset: count, floor }]);
      const paged: unknown[] = [];
      for (let offset = floor; offset < count; ) {
        const page = await engine.read([{ channel: 'user:a', offset }], 100);
        paged.push(...page.publications.map(textOf));
        offset = page.channels[0]?.reachedOffset ?? count;
      }
      expect(paged).toEqual(stored.slice(floor));
      for (const [from, to, limit] of [
        [1, count, 1000],
        [floor + 3, floor + 17, 1000],
        [floor + 8, count, 5],
        [count - 1, count + 10, 1000],
        [1, floor + 2, 1],
        [1, floor, 1000],
      ] as const) {
        const wanted = stored.slice(Math.max(from - 1, floor), to);
        for (const reverse of [false, true]) {
          const { publications } = await engine.range('user:a', { from, to, limit, reverse });
          expect(publications.map(textOf)).toEqual((reverse ? wanted.toReversed() : wanted).slice(0, limit));
        }
      }
      const { channels } = await engine.channels({ prefix: 'user:a', after: '', limit: 1 });
      expect(channels).toMatchObject([{ messages: 40, offset: count }]);
      const at = async (start: Parameters<Engine['locate']>[1]) =>
        (await engine.locate('user:a', start)).offset;
      expect(await at({ kind: 'last', count: 3 })).toBe(count - 3);
      expect(await at({ kind: 'time', sinceMs: under.nowMs() - 60_000 })).toBe(floor);
      expect(await at({ kind: 'time', sinceMs: under.nowMs() + 1000 })).toBe(count);
    });

    it('counts what has outlived the usual ttl as lost, and passes over what had a ttl of its own', async () => {
      const engine = await open();
      await publish(engine, 'user:usual', { ttlMs: 1000 });
      await publish(engine, 'user:own', { ttlMs: 1000, hasOwnTtl: true });
      for (const channel of ['user:usual', 'user:own']) await publish(engine, channel, { text: 'stays' });
      await under.advanceClock(1001);
      for (const [channel, floor] of [
        ['user:usual', 1],
        ['user:own', 0],
      ] as const) {
        const page = await engine.read([{ channel, offset: 0 }], PAGE);
        expect(page.channels[0]?.state.floor).toBe(floor);
        expect((await readAll(engine, channel, floor)).map(textOf)).toEqual(['stays']);
      }
    });

    it('finds where a stream starts: all, the last ones, a time', async () => {
      const engine = await open({ maxMessagesPerChannel: 5 });
      const times: number[] = [];
      for (let i = 1; i <= 8; i++) {
        await under.advanceClock(20);
        times.push(under.nowMs());
        await publish(engine, 'user:a');
      }
      const at = async (start: Parameters<Engine['locate']>[1]) =>
        (await engine.locate('user:a', start)).offset;
      expect(await at({ kind: 'now' })).toBe(8);
      expect(await at({ kind: 'all' })).toBe(3);
      expect(await at({ kind: 'last', count: 2 })).toBe(6);
      expect(await at({ kind: 'last', count: 100 })).toBe(3);
      expect(await at({ kind: 'time', sinceMs: times[5] as number })).toBe(5);
      expect(await at({ kind: 'time', sinceMs: 0 })).toBe(3);
      expect(await at({ kind: 'time', sinceMs: under.nowMs() + 1 })).toBe(8);
    });

    it('lists history by range, both ways', async () => {
      const engine = await open();
      for (let i = 1; i <= 6; i++) await publish(engine, 'user:a', { text: String(i) });
      const range = async (reverse: boolean, limit = 10) =>
        (await engine.range('user:a', { from: 2, to: 5, limit, reverse })).publications.map(textOf);
      expect(await range(false)).toEqual(['2', '3', '4', '5']);
      expect(await range(true, 2)).toEqual(['5', '4']);
    });

    it('lists channels by prefix, page by page', async () => {
      const engine = await open();
      for (const channel of ['user:c', 'task:1', 'user:a', 'user:b']) await publish(engine, channel);
      const first = await engine.channels({ prefix: 'user:', after: '', limit: 2 });
      expect(first.total).toBe(3);
      expect(first.channels.map((c) => c.channel)).toEqual(['user:a', 'user:b']);
      const second = await engine.channels({ prefix: 'user:', after: 'user:b', limit: 2 });
      expect(second.channels).toMatchObject([{ channel: 'user:c', messages: 1, offset: 1 }]);
    });

    it('refuses publishes when it is closed', async () => {
      const engine = await open();
      await close(engine);
      await expect(publish(engine, 'user:a')).rejects.toMatchObject({ code: 'engine_unavailable' });
    });
  });
}
