/**
 * What a stream that comes back with a position gets: a pure decision between the position it has and the log
 * as it is. The rule is the same for a reconnect, for a slow reader and for a hole in the bus.
 */
import { type GapReason, isUnborn, type Position, unbornAgeDays } from '@message-push/protocol';
import type { Ancestor, LogState } from './engine.ts';

/**
 * A stream that is still before a place where the log lost something: it goes on in that epoch up to there, and is
 * told when it gets there.
 */
export interface Stage {
  readonly epoch: string;
  readonly until: number;
}

export type Recovery =
  /** Everything after `after` is still there. */
  | { readonly kind: 'recover'; readonly after: number; readonly stage?: Stage }
  /** Something is lost; the stream goes on after `after`. `missed` is unknown when another log was followed. */
  | {
      readonly kind: 'gap';
      readonly reason: GapReason;
      readonly after: number;
      readonly missed: number | null;
      readonly stage?: Stage;
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
    if (isUnborn(position) && unbornAgeDays(position, nowMs) < retentionDays) {
      // Before everything.
      position = { offset: 0, epoch: log.ancestors?.at(-1)?.epoch ?? log.epoch };
    }
    const index = log.ancestors?.findIndex(({ epoch }) => epoch === position.epoch) ?? -1;
    if (index >= 0) return followAncestors(position.offset, index, log);
    if (position.epoch !== log.epoch) {
      return { kind: 'gap', reason: 'epoch_changed', after: log.floor, missed: null };
    }
  }
  if (position.offset > log.offset) {
    return { kind: 'gap', reason: 'offset_in_future', after: log.offset, missed: null };
  }
  return fromFloor(position.offset, log.floor);
}

function fromFloor(offset: number, floor: number): Recovery {
  return offset < floor
    ? { kind: 'gap', reason: 'trimmed', after: floor, missed: floor - offset }
    : { kind: 'recover', after: offset };
}

/** From an offset in the epoch of ancestor `index` through the newer ones to the log. */
function followAncestors(offset: number, index: number, { floor, ancestors = [] }: LogState): Recovery {
  const newestLossy = ancestors.findIndex((ancestor) => ancestor.isLossy);
  let isLossy = false;
  for (let i = index; i >= 0; i--) {
    const { epoch, upTo, isLossy: isLossyHere } = ancestors[i] as Ancestor;
    if (offset < upTo) {
      const isClearAhead = newestLossy < 0 || newestLossy > i;
      if (isClearAhead || floor >= upTo) break;
      const stage = { epoch, until: upTo };
      if (isLossy)
        return { kind: 'gap', reason: 'rolled_back', after: Math.max(offset, floor), missed: null, stage };
      return { ...fromFloor(offset, floor), stage };
    }
    if (offset > upTo || isLossyHere) {
      isLossy = true;
      offset = upTo;
    }
  }
  if (isLossy || (offset < floor && newestLossy >= 0 && newestLossy <= index)) {
    return { kind: 'gap', reason: 'rolled_back', after: Math.max(offset, floor), missed: null };
  }
  return fromFloor(offset, floor);
}
