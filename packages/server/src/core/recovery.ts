/**
 * Decides what a stream gets that comes back with a position: a pure function of that position and the log as it is
 * now. The rule is the same for a reconnect, for a slow reader and for a hole in the bus.
 */
import { type GapReason, isUnborn, type Position, unbornAgeDays } from '@message-push/protocol';
import type { Ancestor, LogState } from './engine.ts';

/**
 * An earlier epoch that a stream reads on in. Its log has lost something further on: the stream goes on up to `until`,
 * and is told there.
 */
export interface Stage {
  readonly epoch: string;
  readonly until: number;
}

export type Recovery =
  /** Nothing is lost: the stream goes on after `after`. */
  | { readonly kind: 'recover'; readonly after: number; readonly stage?: Stage }
  /** Something is lost, and the stream goes on after `after`. `missed` is null when the position was in another log. */
  | {
      readonly kind: 'gap';
      readonly reason: GapReason;
      readonly after: number;
      readonly missed: number | null;
      readonly stage?: Stage;
    };

/**
 * `retentionDays` is how long engines remember a channel after its last publication. An unborn position that is older
 * may have missed a whole life of the channel.
 */
export function decideRecovery(
  position: Position,
  log: LogState,
  nowMs: number,
  retentionDays: number,
): Recovery {
  if (position.epoch !== log.epoch) {
    if (isUnborn(position) && unbornAgeDays(position, nowMs) < retentionDays) {
      // The position is before everything that was ever published.
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

/** Follows an offset in the epoch of ancestor `index` through the newer ancestors to the log. */
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
