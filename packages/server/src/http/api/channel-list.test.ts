import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compareNames } from '../../core/compare-names.ts';
import type { ChannelSummary } from '../../core/engine.ts';
import { mergeChannels } from './channel-list.ts';

const summary = (channel: string): ChannelSummary => ({
  channel,
  epoch: 'e',
  offset: 1,
  floor: 0,
  messages: 1,
  bytes: 1,
  lastPublishedMs: 1,
});

test('names are in the order of their UTF-8 bytes', () => {
  const name = fc.string({ unit: 'grapheme' });
  fc.assert(
    fc.property(name, name, (a, b) => {
      expect(Math.sign(compareNames(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
    }),
  );
});

test('pages of the merged listing bring every channel once', () => {
  const names = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 3 }), { maxLength: 30 });
  fc.assert(
    fc.property(names, names, fc.integer({ min: 1, max: 7 }), (stored, joined, limit) => {
      const sorted = stored.toSorted(compareNames);
      const seen: string[] = [];
      let after = '';
      for (let hasMore = true; hasMore; ) {
        const rest = after === '' ? sorted : sorted.filter((name) => compareNames(name, after) > 0);
        const counts = new Map(joined.map((name) => [name, 1]));
        const page = mergeChannels(rest.slice(0, limit + 1).map(summary), counts, after, limit);
        seen.push(...page.channels.map(({ channel }) => channel));
        after = seen.at(-1) ?? '';
        hasMore = page.hasMore;
      }
      expect(seen).toEqual([...new Set([...stored, ...joined])].toSorted(compareNames));
    }),
  );
});
