import { beforeEach, describe, expect, test } from 'vitest';
import { ExpiryClock } from './expiry-clock.ts';
import type { Session } from './session.ts';

const START_MS = 1_000_000_000_000;

describe('the clock of credentials', () => {
  let told: [string, string, number?][];
  let clock: ExpiryClock;
  const sessions = new Map<Session, string>();
  const session = (name: string, lifeMs: number | undefined): Session => {
    const expiresAtMs = lifeMs === undefined ? undefined : START_MS + lifeMs;
    const made = { credential: { expiresAtMs } } as unknown as Session;
    sessions.set(made, name);
    return made;
  };
  /** Turns as the wheel does, ten times a second. */
  const runUntil = (fromMs: number, toMs: number): void => {
    for (let ms = fromMs; ms <= toMs; ms += 100) clock.turn(START_MS + ms);
  };

  beforeEach(() => {
    told = [];
    clock = new ExpiryClock({
      onExpiring: (s, leftMs) => told.push(['expiring', sessions.get(s) ?? '', leftMs]),
      onExpired: (s) => told.push(['expired', sessions.get(s) ?? '']),
    });
    clock.turn(START_MS);
  });

  test('tells a stream a minute before its end, and ends it then', () => {
    clock.add(session('a', 600_000), START_MS);
    runUntil(0, 539_900);
    expect(told).toEqual([]);
    runUntil(540_000, 600_000);
    expect(told).toEqual([
      ['expiring', 'a', 60_000],
      ['expired', 'a'],
    ]);
  });

  test('tells one with a short life when half of it is over', () => {
    clock.add(session('a', 10_000), START_MS);
    runUntil(0, 10_000);
    expect(told).toEqual([
      ['expiring', 'a', 5000],
      ['expired', 'a'],
    ]);
  });

  test('never tells a stream that has no end, that has gone, or that was renewed in time', () => {
    const gone = session('gone', 10_000);
    const renewed = session('renewed', 10_000);
    for (const each of [session('endless', undefined), gone, renewed]) clock.add(each, START_MS);
    runUntil(0, 2000);
    clock.remove(gone);
    renewed.credential = session('next', 1_000_000).credential;
    clock.add(renewed, START_MS + 2000);
    runUntil(2100, 100_000);
    expect(told).toEqual([]);
  });

  test('catches up with a clock that was set forward', () => {
    clock.add(session('a', 10_000), START_MS);
    clock.add(session('b', 900_000), START_MS);
    clock.turn(START_MS + 800_000);
    clock.turn(START_MS + 801_000);
    expect(told).toEqual([['expired', 'a']]);
  });
});
