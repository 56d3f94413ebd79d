import { beforeEach, describe, expect, test } from 'vitest';
import { type QuotaGrant, type QuotaRequest, UserQuotas } from './user-quotas.ts';

const LIMIT = 10;

/** Does what `lua/fleet/admit_streams.lua` does. */
class Redis {
  readonly users = new Map<string, Map<string, number>>();
  isUnreachable = false;

  admit(node: string, requests: readonly QuotaRequest[], dead: readonly string[]): QuotaGrant[] {
    if (this.isUnreachable) throw new Error('Redis is unreachable');
    return requests.map(({ userId, held, wanted }) => {
      const fields = this.users.get(userId) ?? new Map<string, number>();
      this.users.set(userId, fields);
      if (wanted > 0) for (const id of dead) fields.delete(id);
      const elsewhere = wanted > 0 ? [...fields].filter(([id]) => id !== node) : [];
      const sum = elsewhere.reduce((total, [, count]) => total + count, 0);
      const granted = Math.max(0, Math.min(wanted, LIMIT - sum - held));
      if (held + granted === 0) fields.delete(node);
      else fields.set(node, held + granted);
      return { granted, elsewhere: granted < wanted ? elsewhere.map(([id]) => id) : [] };
    });
  }

  countOf(userId: string): number {
    return [...(this.users.get(userId) ?? [])].reduce((sum, [, count]) => sum + count, 0);
  }
}

let redis: Redis;
let alive: Set<string>;
let silent: Set<string>;
let refreshes: number;
let onRefresh: () => void;

function node(id: string): UserQuotas {
  alive.add(id);
  return new UserQuotas({
    slotOf: () => 0,
    nodes: {
      isAlive: (nodeId) => alive.has(nodeId),
      get silent() {
        return silent;
      },
      refresh: async () => {
        refreshes++;
        onRefresh();
      },
    },
    admit: async (requests, dead) => {
      await new Promise((resolve) => setImmediate(resolve));
      return redis.admit(id, requests, dead);
    },
  });
}

const admitted = async (quotas: UserQuotas, count: number, userId = 'x'): Promise<number> =>
  (await Promise.all(Array.from({ length: count }, () => quotas.reserve(userId)))).filter(Boolean).length;

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}

beforeEach(() => {
  redis = new Redis();
  alive = new Set();
  silent = new Set();
  refreshes = 0;
  onRefresh = () => {};
});

describe('the streams of a user', () => {
  test('are never more than the limit, on whatever nodes they open at once', async () => {
    const nodes = [node('a'), node('b'), node('c')];
    const counts = await Promise.all(nodes.map((quotas) => admitted(quotas, 10)));
    expect(counts.reduce((a, b) => a + b)).toBe(LIMIT);
    expect(redis.countOf('x')).toBe(LIMIT);
    expect(await admitted(nodes[0] as UserQuotas, 1)).toBe(0);
    expect(await admitted(nodes[0] as UserQuotas, 1, 'y'), 'another user').toBe(1);
  });

  test('make room when they close, and leave nothing behind', async () => {
    const [a, b] = [node('a'), node('b')];
    expect(await admitted(a, LIMIT)).toBe(LIMIT);
    expect(await admitted(b, 1)).toBe(0);
    for (let i = 0; i < 4; i++) a.release('x');
    await settle();
    expect(await admitted(b, 10)).toBe(4);
    for (let i = 0; i < 6; i++) a.release('x');
    for (let i = 0; i < 4; i++) b.release('x');
    await settle();
    expect(redis.users.get('x')?.size).toBe(0);
  });

  test('cannot be opened while Redis is unreachable, and are counted rightly afterwards', async () => {
    const a = node('a');
    expect(await admitted(a, 3)).toBe(3);
    redis.isUnreachable = true;
    await expect(a.reserve('x')).rejects.toThrow('unreachable');
    a.release('x');
    await settle();
    redis.isUnreachable = false;
    redis.users.clear();
    a.writes.addAll();
    await settle();
    expect(redis.countOf('x')).toBe(2);
  });
});

test('a node that closes gives back what it has, also while streams are closing', async () => {
  const a = node('a');
  await admitted(a, 3);
  const closed = a.close(1000);
  a.release('x');
  await closed;
  expect(redis.users.get('x')?.size).toBe(0);
});

describe('the streams of a node', () => {
  test('that is dead are not counted', async () => {
    await admitted(node('a'), LIMIT);
    alive.delete('a');
    silent.add('a');
    expect(await admitted(node('b'), 3)).toBe(3);
    expect(refreshes).toBe(0);
  });

  test('that nobody knows are counted when it turns out to be new', async () => {
    await admitted(node('a'), 8);
    alive.delete('a');
    onRefresh = () => alive.add('a');
    expect(await admitted(node('b'), 5)).toBe(2);
    expect(refreshes).toBe(1);
  });

  test('that nobody knows are not counted when it turns out to be dead', async () => {
    await admitted(node('a'), 8);
    alive.delete('a');
    expect(await admitted(node('b'), 5)).toBe(5);
    expect(refreshes).toBe(1);
    expect(redis.users.get('x')?.has('a')).toBe(false);
  });
});
