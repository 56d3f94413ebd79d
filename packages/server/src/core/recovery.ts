/**
 * What a stream that comes back with a position gets: a pure decision between the position it has and the log
 * as it is. The rule is the same for a reconnect, for a slow reader and for a hole in the bus.
 */
import { type GapReason, isUnborn, type Position, unbornAgeDays } from '@message-push/protocol';
import type { Ancestor, LogState } from './engine.ts';

export type Recovery =
  /** Everything after `after` is still there. */
  | { readonly kind: 'recover'; readonly after: number }
  /** Something is lost; the stream goes on after `after`. `missed` is unknown when another log was followed. */
  | {
      readonly kind: 'gap';
      readonly reason: GapReason;
      readonly after: number;
      readonly missed: number | null;
    };

/**
 * `retentionDays`: engines remember a channel at least this long after its last publication; an unborn position
 * that is older may have missed a whole life of the channel.
 */
export function decideRecovery(
  position: Position,
  log: LogState,
  nowMs: number,
  retentionDays: number,
): Recovery {
  if (position.epoch !== log.epoch) {
    const continued = continueFrom(position, log.ancestors);
    if (continued !== undefined) {
      const after = Math.max(continued.after, log.floor);
      if (continued.isLossy) return { kind: 'gap', reason: 'rolled_back', after, missed: null };
      return continued.after < log.floor
        ? { kind: 'gap', reason: 'trimmed', after, missed: log.floor - continued.after }
        : { kind: 'recover', after };
    }
    const isFromTheStart = isUnborn(position) && unbornAgeDays(position, nowMs) < retentionDays;
    if (!isFromTheStart) return { kind: 'gap', reason: 'epoch_changed', after: log.floor, missed: null };
    if (log.ancestors?.some((ancestor) => ancestor.isLossy)) {
      return { kind: 'gap', reason: 'rolled_back', after: log.floor, missed: null };
    }
    position = { offset: 0, epoch: log.epoch };
  }
  if (position.offset > log.offset) {
    return { kind: 'gap', reason: 'offset_in_future', after: log.offset, missed: null };
  }
  if (position.offset < log.floor) {
    return { kind: 'gap', reason: 'trimmed', after: log.floor, missed: log.floor - position.offset };
  }
  return { kind: 'recover', after: position.offset };
}

/** Where a position of an earlier epoch stands in the log that continues it, and whether something was lost since. */
function continueFrom(
  position: Position,
  ancestors: readonly Ancestor[] = [],
): { after: number; isLossy: boolean } | undefined {
  const index = ancestors.findIndex(({ epoch }) => epoch === position.epoch);
  const ancestor = ancestors[index];
  if (ancestor === undefined) return undefined;
  const isLossy = ancestors.slice(0, index + 1).some((a) => a.isLossy) || position.offset > ancestor.upTo;
  return { after: Math.min(position.offset, ancestor.upTo), isLossy };
}
