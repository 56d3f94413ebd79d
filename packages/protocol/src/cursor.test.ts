import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cursorCheck, decodeCursor, encodeCursor, MAX_CURSOR_BYTES, MAX_CURSOR_CHANNELS } from './cursor.ts';
import { type Position, unbornPosition } from './position.ts';

const epoch = fc.string({
  unit: fc.constantFrom(...Array.from('0123456789abcdefghijklmnopqrstuvwxyz')),
  minLength: 1,
  maxLength: 8,
});
const position: fc.Arbitrary<Position | undefined> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ offset: fc.maxSafeNat(), epoch }) },
  {
    weight: 1,
    arbitrary: fc
      .date({ noInvalidDate: true, min: new Date(0), max: new Date('2300-01-01') })
      .map((d) => unbornPosition(d.getTime())),
  },
  { weight: 1, arbitrary: fc.constant(undefined) },
);
const stream = fc
  .uniqueArray(fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }), {
    minLength: 1,
    maxLength: MAX_CURSOR_CHANNELS,
  })
  .chain((channels) =>
    fc.record({
      channels: fc.constant(channels),
      positions: fc.array(position, { minLength: channels.length, maxLength: channels.length }),
    }),
  );

describe('a cursor', () => {
  it('gives back the positions of its channels', () => {
    fc.assert(
      fc.property(stream, ({ channels, positions }) => {
        expect(decodeCursor(encodeCursor(channels, positions), channels)).toEqual(positions);
      }),
    );
  });

  it('is short, visible ASCII for the most channels that a stream may join', () => {
    fc.assert(
      fc.property(stream, ({ channels, positions }) => {
        const cursor = encodeCursor(channels, positions);
        expect(cursor.length).toBeLessThanOrEqual(MAX_CURSOR_BYTES);
        expect(cursor).toMatch(/^[!-~]+$/);
      }),
    );
    const channels = Array.from({ length: MAX_CURSOR_CHANNELS }, (_, i) => `channel:${i}`);
    const longest = channels.map(() => ({ offset: Number.MAX_SAFE_INTEGER, epoch: 'zzzzzzzz' }));
    const cursor = encodeCursor(channels, longest);
    expect(cursor.length).toBeLessThan(MAX_CURSOR_BYTES);
    expect(decodeCursor(cursor, channels)).toEqual(longest);
  });

  it('is never applied to another list of channels', () => {
    const cursor = encodeCursor(['user:1', 'task:1'], [undefined, undefined]);
    for (const others of [['task:1', 'user:1'], ['user:1'], ['user:1', 'task:2'], ['user:1task:1', ''], []]) {
      expect(decodeCursor(cursor, others)).toBeUndefined();
    }
  });

  it('that is garbage is none, and never an error', () => {
    const channels = ['user:1', 'broadcast'];
    const check = cursorCheck(channels);
    const word = fc.oneof(fc.string({ unit: 'binary' }), fc.stringMatching(/^[0-9a-z.~-]{0,30}$/));
    fc.assert(
      fc.property(
        fc.oneof(
          word,
          fc.tuple(word, word).map(([a, b]) => `${check}~${a}~${b}`),
        ),
        (cursor) => {
          for (const p of decodeCursor(cursor, channels) ?? []) {
            if (p === undefined) continue;
            expect(Number.isSafeInteger(p.offset)).toBe(true);
            expect(p.epoch).toMatch(/^-?[0-9a-z]{1,8}$/);
          }
        },
      ),
      { numRuns: 2000 },
    );
    for (const bad of ['1', '-1.e', '01.e', '1.', '.e', '1.E', '1.e.e', '1e', ' 1.e', 'zzzzzzzzzzz.e']) {
      expect(decodeCursor(`${check}~${bad}~`, channels), bad).toBeUndefined();
    }
    expect(decodeCursor(`${check}~~${'1'.repeat(2000)}`, channels)).toBeUndefined();
  });
});
