import { unbornPosition } from '@message-push/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LogState } from './engine.ts';
import { decideRecovery } from './recovery.ts';

const DAY_MS = 86_400_000;
const NOW = Date.UTC(2026, 0, 20, 12);
const RETENTION_DAYS = 7;
const log = { epoch: 'now', offset: 20, floor: 10 };
const decide = (position: { offset: number; epoch: string }, state: LogState = log) =>
  decideRecovery(position, state, NOW, RETENTION_DAYS);

describe('the decision what a position recovers', () => {
  it('recovers what follows a position that the log still holds', () => {
    for (const offset of [10, 15, 20]) {
      expect(decide({ offset, epoch: 'now' })).toEqual({ kind: 'recover', after: offset });
    }
  });

  it('counts what was trimmed before the stream read it', () => {
    expect(decide({ offset: 4, epoch: 'now' })).toEqual({
      kind: 'gap',
      reason: 'trimmed',
      after: 10,
      missed: 6,
    });
  });

  it('follows another life of the log from what is left of it', () => {
    const gap = { kind: 'gap', reason: 'epoch_changed', after: 10, missed: null };
    for (const offset of [0, 15, 99]) expect(decide({ offset, epoch: 'old' })).toEqual(gap);
  });

  it('goes on at the newest entry after a position of the future', () => {
    expect(decide({ offset: 21, epoch: 'now' })).toEqual({
      kind: 'gap',
      reason: 'offset_in_future',
      after: 20,
      missed: null,
    });
  });

  it('takes a young unborn position for the start of the log, and an old one for another life', () => {
    const bornAt = (daysAgo: number) => unbornPosition(NOW - daysAgo * DAY_MS);
    const whole = { ...log, floor: 0 };
    expect(decide(bornAt(0), whole)).toEqual({ kind: 'recover', after: 0 });
    expect(decide(bornAt(6), whole)).toEqual({ kind: 'recover', after: 0 });
    expect(decide(bornAt(1))).toMatchObject({ reason: 'trimmed', after: 10, missed: 10 });
    expect(decide(bornAt(7), whole)).toMatchObject({ reason: 'epoch_changed', after: 0 });
    const unborn = { ...unbornPosition(NOW), floor: 0 };
    expect(decide(bornAt(6), unborn)).toEqual({ kind: 'recover', after: 0 });
  });

  it('always goes on within the log, and from there without a second gap', () => {
    const epoch = fc.oneof(
      fc.constantFrom('a', 'b'),
      fc.integer({ min: 0, max: 20 }).map((days) => unbornPosition(NOW - days * DAY_MS).epoch),
    );
    fc.assert(
      fc.property(epoch, fc.nat(30), fc.nat(30), fc.nat(30), (of, offset, floor, length) => {
        const state = { epoch: 'a', floor, offset: floor + length };
        const first = decide({ offset, epoch: of }, state);
        expect(first.after).toBeGreaterThanOrEqual(state.floor);
        expect(first.after).toBeLessThanOrEqual(state.offset);
        expect(decide({ offset: first.after, epoch: 'a' }, state)).toEqual({
          kind: 'recover',
          after: first.after,
        });
        if (of === 'a' && first.kind === 'gap' && first.missed !== null) {
          expect(offset + first.missed).toBe(first.after);
        }
      }),
    );
  });

  describe('after epochs that the log continues', () => {
    const clean = { epoch: 'older', upTo: 12, isLossy: false };
    const lossy = { epoch: 'lossy', upTo: 15, isLossy: true };
    const rolledBack = (after: number) => ({ kind: 'gap', reason: 'rolled_back', after, missed: null });

    it('goes on from a position that both have', () => {
      const state = { ...log, ancestors: [clean] };
      expect(decide({ offset: 12, epoch: 'older' }, state)).toEqual({ kind: 'recover', after: 12 });
      expect(decide({ offset: 7, epoch: 'older' }, state)).toMatchObject({
        reason: 'trimmed',
        after: 10,
        missed: 3,
      });
    });

    it('announces what was seen and is there no more', () => {
      expect(decide({ offset: 13, epoch: 'older' }, { ...log, ancestors: [clean] })).toEqual(rolledBack(12));
    });

    it('announces a loss where it is, to those who had not seen it and to those who have gone on since', () => {
      const state = {
        ...log,
        ancestors: [{ epoch: 'after', upTo: 18, isLossy: true }, lossy, { ...clean, upTo: 13 }],
      };
      const upTo = (after: number, epoch: string, until: number) => ({
        kind: 'recover',
        after,
        stage: { epoch, until },
      });
      expect(decide({ offset: 11, epoch: 'older' }, state)).toEqual(upTo(11, 'older', 13));
      expect(decide({ offset: 13, epoch: 'older' }, state)).toEqual(upTo(13, 'lossy', 15));
      expect(decide({ offset: 14, epoch: 'lossy' }, state)).toEqual(upTo(14, 'lossy', 15));
      expect(decide({ offset: 15, epoch: 'lossy' }, state)).toEqual({
        ...rolledBack(15),
        stage: { epoch: 'after', until: 18 },
      });
      expect(decide({ offset: 18, epoch: 'after' }, state)).toEqual(rolledBack(18));
      expect(decide(unbornPosition(NOW), { ...state, floor: 0 })).toEqual(upTo(0, 'older', 13));
      // What is lost lies in what was trimmed.
      expect(decide({ offset: 14, epoch: 'lossy' }, { ...state, floor: 19 })).toEqual(rolledBack(19));
    });

    it('reaches the log by every stage, with one gap for each place where something is lost', () => {
      const state = {
        ...log,
        floor: 0,
        ancestors: [{ epoch: 'after', upTo: 18, isLossy: true }, lossy, clean],
      };
      let position = unbornPosition(NOW);
      let gaps = 0;
      for (let steps = 0; position.epoch !== state.epoch; steps++) {
        expect(steps).toBeLessThan(5);
        const { kind, after, stage } = decide(position, state);
        if (kind === 'gap') gaps++;
        position =
          stage === undefined
            ? { epoch: state.epoch, offset: after }
            : { epoch: stage.epoch, offset: stage.until };
      }
      expect(gaps).toBe(2);
    });

    it('does not know an epoch that is none of them', () => {
      const state = { ...log, ancestors: [clean] };
      expect(decide({ offset: 12, epoch: 'another' }, state)).toMatchObject({ reason: 'epoch_changed' });
    });
  });
});
