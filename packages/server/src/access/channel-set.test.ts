import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ChannelSet, MAX_CHANNEL_ENTRIES, patternProblem, patternsProblem } from './channel-set.ts';

const of = (...patterns: string[]) => ChannelSet.ofPatterns(patterns);

describe('a pattern', () => {
  test.each([
    ['task:*', ['task:1', 'task:', 'task:*'], ['task', 'tasks:1', 'user:1', 'xtask:1', 'TASK:1']],
    ['kb:tenant1-*', ['kb:tenant1-a'], ['kb:tenant1', 'kb:tenant10-a', 'kb:tenant2-a']],
    ['user:7', ['user:7'], ['user:70', 'user:', 'user:7*', 'USER:7', 'user:7 ']],
    ['*', ['user:7', 'broadcast', 'connection:x'], []],
    ['news', ['channel:news'], ['news', 'channel:news2', 'user:news']],
    ['news-*', ['channel:news-1'], ['channel:news', 'task:news-1']],
    ['broadcast', ['broadcast'], ['channel:broadcast']],
    ['tasks:*', ['channel:tasks:1'], ['task:1', 'tasks:1']],
  ])('%s reaches %j and not %j', (pattern, inside, outside) => {
    expect(patternProblem(pattern)).toBeUndefined();
    for (const channel of inside) expect(of(pattern).has(channel), channel).toBe(true);
    for (const channel of outside) expect(of(pattern).has(channel), channel).toBe(false);
  });

  test.each([
    '',
    'task:*x',
    '**',
    'task:**',
    '*:1',
    'task:',
    'task:\n',
    'a\0*',
    `task:${'x'.repeat(300)}*`,
    '\ud800*',
  ])('%j is refused', (pattern) => expect(patternProblem(pattern)).toMatch(/^must /));
});

test('a list of patterns is bounded, and its problem names the entry', () => {
  expect(patternsProblem(['user:1', 'task:*'])).toBeUndefined();
  expect(patternsProblem('user:1')).toMatch(/^must be an array/);
  expect(patternsProblem(['user:1', 7])).toBe('must hold text only; entry 1 is not text');
  expect(patternsProblem(['user:1', 'a*b'])).toBe('entry 1 must have a * at its end only');
  expect(patternsProblem(Array(MAX_CHANNEL_ENTRIES + 1).fill('user:1'))).toMatch(/at most 256/);
});

test('a name that ends in a star is that name alone', () => {
  const set = ChannelSet.ofNames(['user:*']);
  expect([set.has('user:*'), set.has('user:7'), set.hasAllOf('user:')]).toEqual([true, false, false]);
  expect(ChannelSet.fromJson(set.toJson()).has('user:7')).toBe(false);
});

// A small alphabet, so that names share beginnings.
const text = fc.string({ unit: fc.constantFrom('a', 'b', ':', '*'), maxLength: 5 });
const channel = text.map((id) => `task:${id}x`);
const pattern = fc.oneof(
  { weight: 1, arbitrary: fc.constant('*') },
  { weight: 4, arbitrary: text.map((id) => `task:${id.replaceAll('*', '')}*`) },
  { weight: 4, arbitrary: text.map((id) => `task:${id.replaceAll('*', '')}x`) },
);
const patterns = fc.array(pattern, { maxLength: 6 });

describe('for all sets', () => {
  test('membership is what a pattern says, one by one', () => {
    fc.assert(
      fc.property(patterns, channel, (list, name) => {
        const expected = list.some((p) => (p.endsWith('*') ? name.startsWith(p.slice(0, -1)) : p === name));
        expect(of(...list).has(name)).toBe(expected);
      }),
    );
  });

  test('a set that holds another one holds what is in it', () => {
    fc.assert(
      fc.property(patterns, patterns, channel, (a, b, name) => {
        const [one, other] = [of(...a), of(...b)];
        if (one.firstBeyond(other) === undefined && other.has(name)) expect(one.has(name)).toBe(true);
      }),
    );
  });

  test('a set holds its parts, a union holds both and nothing else, and none holds more than it is', () => {
    fc.assert(
      fc.property(patterns, patterns, channel, (a, b, name) => {
        const [one, other] = [of(...a), of(...b)];
        const both = one.union(other);
        expect([both.firstBeyond(one), both.firstBeyond(other)]).toEqual([undefined, undefined]);
        expect(both.has(name)).toBe(one.has(name) || other.has(name));
        expect(one.isAll || one.firstBeyond(ChannelSet.all) === '*').toBe(true);
        expect(ChannelSet.none.firstBeyond(one) === undefined).toBe(one.isEmpty);
      }),
    );
  });

  test('a set passes through JSON and through its own patterns unchanged', () => {
    fc.assert(
      fc.property(patterns, channel, (list, name) => {
        const set = of(...list);
        const copy = ChannelSet.fromJson(JSON.parse(JSON.stringify(set.toJson())));
        expect(copy.toJson()).toEqual(set.toJson());
        expect(of(...set.toPatterns()).has(name)).toBe(set.has(name));
      }),
    );
  });

  test('all that begins somehow is held only if it is', () => {
    fc.assert(
      fc.property(patterns, text, text, (list, beginning, rest) => {
        const set = of(...list);
        if (set.hasAllOf(`task:${beginning}`)) expect(set.has(`task:${beginning}${rest}`)).toBe(true);
      }),
    );
  });
});

test('matching asks each pattern once, however it is written', () => {
  // A wildcard matcher would backtrack through these patterns; here each costs one comparison.
  const set = of(...Array.from({ length: 256 }, (_, i) => `task:${'a'.repeat(i % 200)}${i}*`));
  const name = `task:${'a'.repeat(250)}`;
  const started = process.cpuUsage();
  for (let i = 0; i < 1000; i++) expect(set.has(name)).toBe(false);
  const { user, system } = process.cpuUsage(started);
  // 256 prefix comparisons take some µs. The bound is far above that.
  expect((user + system) / 1000).toBeLessThan(1000);
});
