import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type CredentialIdentity,
  concerns,
  type Revocation,
  Revocations,
  readRevocation,
} from './revocations.ts';

const NOW = 1_800_000_000_000;
const KEEP = 60_000;

function list(options: { maxEntries?: number; spread?: (r: Revocation) => Promise<void> } = {}) {
  const clock = { now: NOW };
  const heard: string[] = [];
  const revocations = new Revocations({
    now: () => clock.now,
    keepMs: KEEP,
    onRevoked: ({ kind, id }) => heard.push(`${kind} ${id}`),
    ...options,
  });
  return { clock, heard, revocations };
}
const credential = (more: Partial<CredentialIdentity> = {}): CredentialIdentity => ({
  userId: '7',
  tokenId: 'token-1',
  parentTokenIds: [],
  issuedAtMs: NOW - 1,
  ...more,
});

describe('a revocation', () => {
  test('of a user holds for what was issued until then, and for nobody else', async () => {
    const { revocations } = list();
    expect(revocations.isRevoked(credential())).toBe(false);
    await revocations.revoke('user', '7');
    expect(revocations.isRevoked(credential())).toBe(true);
    expect(revocations.isRevoked(credential({ issuedAtMs: NOW }))).toBe(true);
    expect(revocations.isRevoked(credential({ issuedAtMs: NOW + 1 }))).toBe(false);
    expect(revocations.isRevoked(credential({ issuedAtMs: Number.NEGATIVE_INFINITY }))).toBe(true);
    expect(revocations.isRevoked(credential({ userId: '8' }))).toBe(false);
    expect(revocations.isRevoked(credential({ userId: undefined, tokenId: '7' }))).toBe(false);
  });

  test('of a token holds for it and for what was made from it', async () => {
    const { revocations } = list();
    await revocations.revoke('token', 'token-1');
    expect(revocations.isRevoked(credential())).toBe(true);
    expect(revocations.isRevoked(credential({ tokenId: 'ticket', parentTokenIds: ['token-1'] }))).toBe(true);
    expect(revocations.isRevoked(credential({ tokenId: 'token-2' }))).toBe(false);
    expect(revocations.isRevoked(credential({ tokenId: undefined, userId: undefined }))).toBe(false);
  });

  test('is kept until the longest credential has ended, and then forgotten', async () => {
    const { clock, revocations } = list();
    await revocations.revoke('user', '7');
    await revocations.revoke('token', 'token-2');
    clock.now = NOW + KEEP - 1;
    expect(revocations.isRevoked(credential())).toBe(true);
    clock.now = NOW + KEEP;
    expect(revocations.isRevoked(credential())).toBe(false);
    expect(revocations.snapshot()).toEqual([]);
    expect(revocations.size).toBe(0);
  });

  test('counts here although it could not be spread, and whoever asked for it is told', async () => {
    const { revocations } = list({ spread: () => Promise.reject(new Error('the bus is away')) });
    await expect(revocations.revoke('user', '7')).rejects.toThrow('the bus is away');
    expect(revocations.isRevoked(credential())).toBe(true);
  });

  test('that finds no room is refused, and none is forgotten for it', async () => {
    const { clock, revocations } = list({ maxEntries: 2 });
    await revocations.revoke('user', '1');
    await revocations.revoke('user', '7');
    await expect(revocations.revoke('user', '9')).rejects.toMatchObject({ code: 'storage_full' });
    expect(revocations.isRevoked(credential())).toBe(true);
    // A known revocation needs no room.
    await revocations.revoke('user', '7');
    clock.now += KEEP;
    await revocations.revoke('user', '9');
    expect(revocations.snapshot().map(({ id }) => id)).toEqual(['9']);
  });

  test('is heard of once, wherever it was made', async () => {
    const { heard, revocations } = list();
    const revocation = await revocations.revoke('connection', 'c1');
    revocations.apply(revocation);
    revocations.apply({ kind: 'user', id: '8', atMs: NOW, untilMs: NOW + 1 });
    expect(heard).toEqual(['connection c1', 'user 8']);
    expect(revocations.isConnectionRevoked('c1')).toBe(true);
  });

  test('that is over when it arrives is nothing', () => {
    const { heard, revocations } = list();
    expect(revocations.apply({ kind: 'user', id: '7', atMs: NOW - KEEP, untilMs: NOW })).toBe(true);
    expect([heard, revocations.size]).toEqual([[], 0]);
  });

  test('concerns the streams that were opened with it', () => {
    const at = { atMs: NOW, untilMs: NOW + KEEP };
    const open = credential({ parentTokenIds: ['jwt-1'] });
    const answers = (kind: Revocation['kind'], id: string) => concerns({ kind, id, ...at }, 'c1', open);
    expect([answers('user', '7'), answers('token', 'token-1'), answers('token', 'jwt-1')]).toEqual([
      true,
      true,
      true,
    ]);
    expect([answers('connection', 'c1'), answers('connection', 'c2')]).toEqual([true, false]);
    expect([answers('user', '8'), answers('token', '7')]).toEqual([false, false]);
    expect(concerns({ kind: 'user', id: '7', ...at }, 'c1', credential({ issuedAtMs: NOW + 1 }))).toBe(false);
  });
});

const revocation = fc.record({
  kind: fc.constantFrom('user' as const, 'token' as const, 'connection' as const),
  id: fc.constantFrom('7', 'token-1', 'c1'),
  atMs: fc.integer({ min: NOW - 5, max: NOW + 5 }),
  untilMs: fc.integer({ min: NOW + 1, max: NOW + 20 }),
});

test('nodes that hear the same in any order, and repeatedly, agree', () => {
  fc.assert(
    fc.property(
      fc.array(revocation, { maxLength: 12 }),
      fc.array(fc.nat(), { maxLength: 24 }),
      (all, picks) => {
        const [one, other] = [list().revocations, list().revocations];
        for (const r of all) one.apply(r);
        for (const i of picks) if (all.length > 0) other.apply(all[i % all.length] as Revocation);
        for (const r of [...all].reverse()) other.apply(r);
        const sorted = (r: Revocations) =>
          [...r.snapshot()].sort((a, b) => (a.kind + a.id < b.kind + b.id ? -1 : 1));
        expect(sorted(other)).toEqual(sorted(one));
        const started = list().revocations;
        for (const r of one.snapshot()) started.apply(r);
        expect(sorted(started)).toEqual(sorted(one));
      },
    ),
  );
});

test('what another node sends is read only if it is a revocation', () => {
  const good = { kind: 'user', id: '7', atMs: NOW, untilMs: NOW + 1 };
  expect(readRevocation(JSON.parse(JSON.stringify({ ...good, more: 1 })))).toEqual(good);
  for (const bad of [
    undefined,
    null,
    7,
    {},
    { ...good, kind: 'all' },
    { ...good, id: 7 },
    { ...good, untilMs: '1' },
  ]) {
    expect(readRevocation(bad)).toBeUndefined();
  }
});
