import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FACTS_BYTES, formOf, readLog, writeMessage } from './codec.ts';
import { assemblePage, type ChannelRead } from './page.ts';

const NOW = 1_800_000_000_000;
/** Stands for the expiry of an entry whose own ttl ran out long ago; it does not extend the life of the log. */
const CHANGES_NOTHING = -1;
const UNBORN = { epoch: '-g19', offset: 0, floor: 0 };

interface Entry {
  /** Order of the last message. */
  readonly order: number;
  readonly ttl: 'none' | 'usual' | 'own';
  readonly isExpired: boolean;
  /** Number of messages. */
  readonly count: number;
}

/** A channel as Redis holds it, and what a reader of all of it must be shown. */
class FakeLog {
  readonly entries: { bytes: Buffer; offset: number; order: number }[] = [];
  readonly shown: number[] = [];
  /** Newest message that is lost. */
  lostTo = 0;
  readonly #kept: number;
  #lasting = 0;
  #own = 0;
  #bytes = 0;
  #offset = 0;

  readonly channel: string;

  /** An entry that is trimmed in part still has all its messages in Redis. */
  constructor(channel: string, entries: readonly Entry[], trimmed: number) {
    this.channel = channel;
    this.#kept = entries.reduce((sum, { count }) => sum + count, 0) - trimmed;
    let isUncertain = false;
    for (const { order, ttl, isExpired, count } of entries) {
      const expires = ttl === 'none' ? 0 : isExpired ? NOW - 1 : NOW + 1000;
      const first = this.#offset + 1;
      const blobs = Array.from({ length: count }, (_, i) => blobOf(channel, order - count + 1 + i));
      this.#offset += count;
      this.#bytes += blobs.reduce((sum, { length }) => sum + length, 0);
      const facts = this.#facts(this.#offset, order, ttl === 'own' ? -expires : expires, count);
      if (this.#offset > trimmed) {
        this.entries.push({ bytes: Buffer.concat([facts, ...blobs]), offset: this.#offset, order });
      }
      if (ttl === 'own') this.#own = Math.max(this.#own, expires);
      else this.#lasting = this.#offset;
      for (let offset = first; offset <= this.#offset; offset++) {
        const isTrimmed = offset <= trimmed;
        const mayPass = ttl === 'own' && isExpired;
        if (isTrimmed && ttl === 'own' && !isExpired) isUncertain = true;
        if (isTrimmed ? !mayPass : isExpired && ttl === 'usual') this.lostTo = offset;
        else if (!isTrimmed && !(isExpired && ttl !== 'none')) this.shown.push(offset);
      }
    }
    // Which of the trimmed ones it was, nobody knows any more: all of them count.
    if (isUncertain) this.lostTo = Math.max(this.lostTo, trimmed);
  }

  /** Answers like `lua/log/read.lua`. */
  read(after: number, maxBytes: number): ChannelRead {
    const list: Buffer[] = [];
    let bytes = 0;
    for (const { bytes: entryBytes, offset } of this.entries) {
      if (offset <= after) continue;
      if (bytes >= maxBytes && list.length > 0) break;
      list.push(entryBytes);
      bytes += entryBytes.length - FACTS_BYTES;
    }
    const { channel } = this;
    const log = this.#log();
    return { channel, after, log, list, maxMessages: this.#kept, nowMs: NOW, maxBytes, unborn: UNBORN };
  }

  #log() {
    if (this.#offset === 0) return undefined;
    return readLog(
      Buffer.concat([
        this.#facts(this.#offset, 1, CHANGES_NOTHING, 1),
        Buffer.alloc(16),
        Buffer.from('run\0'),
      ]),
    );
  }

  #facts(offset: number, order: number, expires: number, count: number): Buffer {
    const numbers = Buffer.from(
      Float64Array.of(offset, this.#lasting, this.#own, order, expires, this.#bytes).buffer,
    );
    return Buffer.concat([Buffer.from('epoch001'), numbers, Buffer.from(Uint16Array.of(count).buffer)]);
  }
}

function blobOf(channel: string, order: number): Buffer {
  const form = formOf({
    id: `${order}`,
    type: 'info',
    channels: [channel],
    exclude: undefined,
    timeMs: NOW,
    json: Buffer.alloc(20, 0x20),
  });
  const blob = Buffer.alloc(form.bytes);
  writeMessage(blob, 0, form);
  return blob;
}

const entry = fc.record({
  ttl: fc.constantFrom('none', 'usual', 'own') as fc.Arbitrary<Entry['ttl']>,
  isExpired: fc.boolean(),
  count: fc.integer({ min: 1, max: 3 }),
});
const channels = fc.array(fc.record({ entries: fc.array(entry, { maxLength: 12 }), trimmed: fc.nat(10) }), {
  minLength: 1,
  maxLength: 4,
});

describe('a page of several channels', () => {
  it('brings everything once, in the order of publishing, and says what is lost', () => {
    fc.assert(
      fc.property(channels, fc.integer({ min: 1, max: 400 }), (plans, maxBytes) => {
        let order = 0;
        // Publishes of the channels take turns.
        const orders = plans.map(() => [] as number[]);
        for (let i = 0; i < 12; i++) {
          plans.forEach((plan, c) => {
            const next = plan.entries[i];
            if (next === undefined) return;
            order += next.count;
            orders[c]?.push(order);
          });
        }
        const logs = plans.map(({ entries, trimmed }, c) => {
          const all = entries.map((e, i) => ({ ...e, order: orders[c]?.[i] ?? 0 }));
          const messages = all.reduce((sum, { count }) => sum + count, 0);
          return new FakeLog(`channel:${c}`, all, Math.min(trimmed, messages));
        });
        const positions = logs.map(() => 0);
        const shown = logs.map(() => [] as number[]);
        const floors = logs.map(() => 0);
        let lastOrder = 0;
        for (let pages = 0; ; pages++) {
          expect(pages).toBeLessThan(200);
          const share = Math.max(1, Math.ceil(maxBytes / logs.length));
          const page = assemblePage(
            logs.map((log, c) => log.read(positions[c] ?? 0, share)),
            maxBytes,
          );
          page.channels.forEach(({ state }, c) => {
            const floor = Math.max(floors[c] ?? 0, state.floor);
            if (floor > (floors[c] ?? 0)) shown[c] = (shown[c] ?? []).filter((offset) => offset > floor);
            floors[c] = floor;
          });
          for (const { places, order: at } of page.publications) {
            expect(at).toBeGreaterThan(lastOrder);
            lastOrder = at;
            for (const { channel, offset } of places) shown[Number(channel.split(':')[1])]?.push(offset);
          }
          page.channels.forEach(({ reachedOffset, state }, c) => {
            expect(reachedOffset).toBeGreaterThanOrEqual(positions[c] ?? 0);
            positions[c] = Math.max(reachedOffset, state.floor);
          });
          if (page.isComplete) break;
        }
        logs.forEach((log, c) => {
          expect(floors[c]).toBe(log.lostTo);
          expect(shown[c]).toEqual(log.shown.filter((offset) => offset > log.lostTo));
        });
      }),
      { numRuns: 500 },
    );
  });
});
