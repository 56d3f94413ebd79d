import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BoundedCache } from '../bounded-cache.ts';
import { ChannelSet } from '../channel-set.ts';
import { anonymous, floorOf, keyPrincipal, type Principal, userPrincipal } from '../principal.ts';
import { addressGroup } from './address-group.ts';
import { type RateKind, RateLimiter, type RateResult, rateError, rateHeaders } from './rate-limiter.ts';
import { MemoryRateStore, type RateStore, SharedRateStore } from './rate-store.ts';
import { type RateAnswer, type RateWindow, takeFrom } from './rate-window.ts';

const NOW = 1_800_000_000_000;
const LIMIT = { limit: 10, windowMs: 60_000 };

describe('a window', () => {
  function client(limit = LIMIT) {
    let window: RateWindow | undefined;
    return (nowMs: number, cost = 1): RateAnswer => {
      const taken = takeFrom(window, limit, cost, nowMs);
      window = taken.window;
      return taken.answer;
    };
  }

  test('lets through as many as its limit at once, and says what is left', () => {
    const take = client();
    const answers = Array.from({ length: 12 }, () => take(NOW));
    expect(answers.map(({ isAllowed }) => isAllowed)).toEqual([...Array(10).fill(true), false, false]);
    expect(answers.map(({ remaining }) => remaining)).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0]);
    expect(answers[0]).toEqual({ isAllowed: true, remaining: 9, resetMs: 60_000 });
  });

  test("begins with a client's first request, and the next one with the first after it", () => {
    const take = client();
    for (let i = 0; i < 10; i++) take(NOW + i);
    expect(take(NOW + 59_999)).toEqual({ isAllowed: false, remaining: 0, resetMs: 1 });
    expect(take(NOW + 90_000)).toEqual({ isAllowed: true, remaining: 9, resetMs: 60_000 });
  });

  test('begins anew when the clock was set back', () => {
    const take = client();
    for (let i = 0; i < 10; i++) take(NOW);
    expect(take(NOW - 1)).toEqual({ isAllowed: true, remaining: 9, resetMs: 60_000 });
  });

  test('counts what a request costs, and what is refused is not counted', () => {
    const take = client();
    expect(take(NOW, 8).remaining).toBe(2);
    expect(take(NOW, 3)).toMatchObject({ isAllowed: false, remaining: 2 });
    expect(take(NOW, 2)).toMatchObject({ isAllowed: true, remaining: 0 });
  });

  const steps = fc.array(
    fc.record({ afterMs: fc.nat({ max: 30_000 }), cost: fc.integer({ min: 1, max: 4 }) }),
    {
      minLength: 1,
      maxLength: 80,
    },
  );

  test('whoever waits as long as he is told is let in', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const take = client();
        let nowMs = NOW;
        for (const { afterMs, cost } of all) {
          nowMs += afterMs;
          const { isAllowed, resetMs } = take(nowMs, cost);
          if (isAllowed) continue;
          nowMs += resetMs;
          expect(take(nowMs, cost).isAllowed).toBe(true);
        }
      }),
    );
  });

  test('over a long time the limit holds within five percent, however a client asks', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 700 }), (everyMs) => {
        const take = client({ limit: 100, windowMs: 60_000 });
        let allowed = 0;
        const minutes = 20;
        for (let ms = 0; ms < minutes * 60_000; ms += everyMs) if (take(NOW + ms).isAllowed) allowed++;
        const offered = (minutes * 60_000) / everyMs;
        expect(allowed).toBeLessThanOrEqual(minutes * 100);
        expect(allowed).toBeGreaterThanOrEqual(Math.min(offered - 1, minutes * 100 * 0.95));
      }),
      { numRuns: 10 },
    );
  });
});

describe('a store in memory', () => {
  test('holds no more clients than it may, and forgets those that are away', () => {
    let now = NOW;
    const cache = new BoundedCache<number>(3, () => now);
    for (let i = 0; i < 5; i++) cache.set(String(i), i, 1000);
    expect([cache.size, cache.get('0'), cache.get('1'), cache.get('2')]).toEqual([
      3,
      undefined,
      undefined,
      2,
    ]);
    cache.set('2', 22, 1000);
    cache.set('5', 5, 1000);
    expect([cache.get('2'), cache.get('3')]).toEqual([22, undefined]);
    now += 1000;
    expect([cache.get('2'), cache.size]).toEqual([undefined, 2]);
  });

  test('counts each client for itself', () => {
    const store = new MemoryRateStore(() => NOW);
    for (let i = 0; i < 10; i++) store.take('a', LIMIT, 1);
    expect([store.take('a', LIMIT, 1).isAllowed, store.take('b', LIMIT, 1).isAllowed]).toEqual([false, true]);
  });
});

describe('a shared store', () => {
  function shared(call: (key: string) => Promise<RateAnswer>) {
    const clock = { now: NOW };
    const calls: string[] = [];
    const errors: string[] = [];
    const store = new SharedRateStore({
      call: (key) => {
        calls.push(key);
        return call(key);
      },
      now: () => clock.now,
      onError: ({ message }) => errors.push(message),
    });
    return { store, clock, calls, errors };
  }
  const refused = { isAllowed: false, remaining: 0, resetMs: 5000 };

  test('is not asked again of whom it has refused, until then', async () => {
    const { store, clock, calls } = shared(() => Promise.resolve(refused));
    await store.take('a', LIMIT, 1);
    clock.now += 1000;
    expect(await store.take('a', LIMIT, 1)).toEqual({ ...refused, resetMs: 4000 });
    await store.take('b', LIMIT, 1);
    expect(calls).toEqual(['a', 'b']);
    clock.now += 4000;
    await store.take('a', LIMIT, 1);
    expect(calls).toEqual(['a', 'b', 'a']);
  });

  test('is stood in for while it is away, and that is told, not for every request', async () => {
    const { store, clock, errors } = shared(() => Promise.reject(new Error('away')));
    const answers = [];
    for (let i = 0; i < 12; i++) answers.push(await store.take('a', LIMIT, 1));
    expect(answers.filter(({ isAllowed }) => isAllowed)).toHaveLength(10);
    expect(errors).toEqual(['away']);
    clock.now += 1000;
    await store.take('a', LIMIT, 1);
    expect(errors).toHaveLength(2);
  });
});

describe('whose an address is', () => {
  test.each([
    ['10.1.2.3', '10.1.2.3'],
    ['::ffff:10.1.2.3', '10.1.2.3'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::1', '2001:db8:1:2::/64'],
    ['2001:0DB8:0001:0002::1', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:db8::2:3:4:5:6', '2001:db8:0:2::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['64:ff9b::10.1.2.3', '64:ff9b:0:0::/64'],
    ['', ''],
    ['unknown', 'unknown'],
  ])('%s is of %s', (address, group) => expect(addressGroup(address)).toBe(group));
});

describe('the limiter', () => {
  const floor = floorOf({ keys: true, users: true });
  const key = (name: string): Principal =>
    keyPrincipal({ name, scopes: [], channels: ChannelSet.none, expiresAtMs: undefined }, floor);
  const user = (userId: string | undefined): Principal =>
    userPrincipal(
      {
        credential: 'jwt',
        userId,
        joins: ChannelSet.none,
        tokenId: 't',
        parentTokenIds: [],
        issuedAtMs: 0,
        expiresAtMs: 1,
      },
      floor,
    );
  function limiter(more: { burst?: number; windowMs?: number; store?: RateStore } = {}) {
    const clock = { now: NOW };
    const limits = new RateLimiter({
      store: new MemoryRateStore(() => clock.now),
      perMinute: { request: 5, connect: 3 },
      windowMs: 60_000,
      burst: 0,
      ...more,
    });
    const allowed = async (
      kind: RateKind,
      who: Principal | undefined,
      ip: string,
      times = 20,
    ): Promise<number> => {
      let count = 0;
      for (let i = 0; i < times; i++) if ((await limits.take(kind, who, ip)).isAllowed) count++;
      return count;
    };
    return { limits, clock, allowed };
  }

  test('counts each key, each user, and of all others each address', async () => {
    const { allowed } = limiter();
    expect(await allowed('request', key('a'), '10.0.0.1')).toBe(5);
    expect(await allowed('request', key('a'), '10.0.0.2')).toBe(0);
    expect(await allowed('request', key('b'), '10.0.0.1')).toBe(5);
    expect(await allowed('request', user('7'), '10.0.0.1')).toBe(5);
    expect(await allowed('request', user('7'), '10.0.0.3')).toBe(0);
    expect(await allowed('request', anonymous(floor), '10.0.0.1')).toBe(5);
    expect(await allowed('request', undefined, '10.0.0.1')).toBe(0);
    expect(await allowed('request', user(undefined), '10.0.0.1')).toBe(0);
    expect(await allowed('request', anonymous(floor), '2001:db8::1')).toBe(5);
    expect(await allowed('request', anonymous(floor), '2001:db8::ffff')).toBe(0);
  });

  test('counts connecting apart from requests', async () => {
    const { allowed } = limiter();
    expect(await allowed('connect', user('7'), '10.0.0.1')).toBe(3);
    expect(await allowed('request', user('7'), '10.0.0.1')).toBe(5);
  });

  test('no name of one kind of client is one of another', async () => {
    const { allowed } = limiter();
    await allowed('request', key('address:10.0.0.1'), '10.0.0.9');
    await allowed('request', user('7'), '10.0.0.9');
    expect(await allowed('request', undefined, '10.0.0.1')).toBe(5);
    expect(await allowed('request', key('user:7'), '10.0.0.1')).toBe(5);
  });

  test('lets through a burst beyond the limit, once in ten windows', async () => {
    const { allowed, clock } = limiter({ burst: 4 });
    expect(await allowed('request', key('a'), '')).toBe(9);
    clock.now += 120_000;
    expect(await allowed('request', key('a'), '')).toBe(5);
    clock.now += 20 * 60_000;
    expect(await allowed('request', key('a'), '')).toBe(9);
  });

  test('counts over the window that it is given', async () => {
    const { allowed, clock } = limiter({ windowMs: 120_000 });
    expect(await allowed('request', key('a'), '')).toBe(10);
    clock.now += 240_000;
    expect(await allowed('request', key('a'), '')).toBe(10);
    expect(await limiter({ windowMs: 1000 }).allowed('request', key('a'), '')).toBe(1);
  });

  test('answers at once in memory, and later from a store that is elsewhere', async () => {
    const memory = new MemoryRateStore(() => NOW);
    const elsewhere: RateStore = { take: (...asked) => Promise.resolve(memory.take(...asked)) };
    expect(limiter().limits.take('request', key('a'), '')).not.toBeInstanceOf(Promise);
    expect(await limiter({ store: elsewhere, burst: 4 }).allowed('request', key('a'), '')).toBe(9);
  });

  test('says in the standard headers how much is left and when to come back', async () => {
    const { limits, clock } = limiter();
    expect(rateHeaders((await limits.take('request', key('a'), '')) as RateResult)).toEqual({
      'ratelimit-limit': '5',
      'ratelimit-remaining': '4',
      'ratelimit-reset': '60',
      'ratelimit-policy': '"default";q=5;w=60',
      ratelimit: '"default";r=4;t=60',
    });
    clock.now += 10_001;
    const refused = await limits.take('request', key('a'), '', 5);
    expect(rateHeaders(refused)).toMatchObject({
      'ratelimit-remaining': '4',
      'retry-after': '50',
      ratelimit: '"default";r=4;t=50',
    });
    const error = rateError(refused);
    expect([error.code, error.retryAfterSeconds]).toEqual(['too_many_requests', 50]);
    expect(error.message).toBe('more than 5 requests within 60 s; retry in 50 s');
  });
});
