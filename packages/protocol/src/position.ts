/**
 * A position is a place in a channel's log: the offset of the last publication seen, in one epoch of the log.
 *
 * A channel that was never published to has no epoch yet. Its position is offset 0 in an *unborn* epoch, which records
 * the day: engines forget a channel some days after its last publication, and a position that is older than that
 * cannot tell the first epoch from a later one.
 */
export interface Position {
  readonly offset: number;
  /** A base-36 word, or `-` and a base-36 day number for a channel that was never published to. */
  readonly epoch: string;
}

const DAY_MS = 86_400_000;

export function unbornPosition(nowMs: number): Position {
  return { offset: 0, epoch: `-${Math.floor(nowMs / DAY_MS).toString(36)}` };
}

export function isUnborn(position: Position): boolean {
  return position.epoch.startsWith('-');
}

/** Whole days between the day of an unborn position and now. */
export function unbornAgeDays(position: Position, nowMs: number): number {
  return Math.floor(nowMs / DAY_MS) - Number.parseInt(position.epoch.slice(1), 36);
}
