/**
 * Where a session that catches up stands on each of its channels: pure state, without sockets and reads. It starts
 * with what a cursor claims, is corrected by what the logs say, and moves with the history that is shown.
 */
import {
  type ChannelGap,
  encodePosition,
  isUnborn,
  type Position,
  unbornAgeDays,
} from '@message-push/protocol';
import type { HistoryPage, LogState, ReadFrom } from '../../core/engine.ts';
import type { Publication } from '../../core/message.ts';
import { decideRecovery } from '../../core/recovery.ts';
import type { ChannelPosition } from '../../hub/channel-position.ts';
import { recoveryGap } from './gaps.ts';

export interface StreamPosition {
  epoch: string;
  offset: number;
}

export class CatchUpPositions {
  readonly #channels: readonly ChannelPosition[];
  /** In the order of the channels. */
  readonly #positions: StreamPosition[];
  /**
   * For each channel, how far this page may be shown: up to the place where the log has lost something, so that the
   * gap is told before what follows it. `undefined` where nothing is lost.
   */
  #limits: (number | undefined)[] = [];
  readonly #retentionDays: number;
  /** Channel name to index; made for the first publication. */
  #indexOf: ReadonlyMap<string, number> | undefined;

  constructor(channels: readonly ChannelPosition[], positions: StreamPosition[], retentionDays: number) {
    this.#channels = channels;
    this.#positions = positions;
    this.#retentionDays = retentionDays;
  }

  /** Publications between these positions and the channels'. */
  get backlog(): number {
    let sum = 0;
    this.#channels.forEach((channel, i) => {
      const position = this.#at(i);
      if (position.epoch === channel.epoch) sum += Math.max(0, channel.offset - position.offset);
    });
    return sum;
  }

  get hasLimit(): boolean {
    return this.#limits.some((limit) => limit !== undefined);
  }

  cursor(check: string): string {
    let cursor = check;
    for (const position of this.#positions) cursor += `~${encodePosition(position)}`;
    return cursor;
  }

  readFrom(): ReadFrom[] {
    return this.#channels.map(({ name }, i) => ({ channel: name, offset: this.#at(i).offset }));
  }

  /**
   * Holds the positions against the logs and moves those that cannot go on where they are. `isPageUsable` is false
   * when a position went back, so that what follows it must be read anew. A page that begins before the positions is
   * usable: reading again would find that a busy channel has lost a little more meanwhile, and say so in a second
   * event.
   */
  recover(logs: readonly LogState[], nowMs: number): { gaps: ChannelGap[]; isPageUsable: boolean } {
    const gaps: ChannelGap[] = [];
    let isPageUsable = true;
    this.#limits = [];
    for (let i = 0; i < logs.length; i++) {
      const log = logs[i] as LogState;
      const position = this.#at(i);
      const recovery = decideRecovery(position, log, nowMs, this.#retentionDays);
      if (recovery.kind === 'gap') {
        gaps.push(recoveryGap((this.#channels[i] as ChannelPosition).name, position, log, recovery));
      }
      const epoch = recovery.stage?.epoch ?? log.epoch;
      this.#limits[i] = recovery.stage?.until;
      if (recovery.after !== position.offset || position.epoch !== epoch) {
        if (recovery.after < position.offset) isPageUsable = false;
        this.#positions[i] = { epoch, offset: recovery.after };
      }
    }
    return { gaps, isPageUsable };
  }

  /**
   * Moves past a publication. True when it is to be shown, by the same rule as live: on the first of its channels
   * that the session has joined.
   */
  pass({ message, places }: Publication): boolean {
    this.#indexOf ??= new Map(this.#channels.map(({ name }, i) => [name, i]));
    const indexOf = this.#indexOf;
    const first = message.channels.find((channel) => indexOf.has(channel));
    let isShown = false;
    for (const { channel, offset } of places) {
      const index = indexOf.get(channel) as number;
      const position = this.#at(index);
      // A gap has passed over this one already, or is to be told before it.
      if (offset <= position.offset || offset > this.#limitAt(index)) continue;
      position.offset = offset;
      isShown ||= channel === first;
    }
    return isShown;
  }

  /** Moves to the end of a page, past entries there whose own ttl has run out. */
  passPage(channels: HistoryPage['channels']): void {
    channels.forEach(({ reachedOffset }, i) => {
      const position = this.#at(i);
      position.offset = Math.max(position.offset, Math.min(reachedOffset, this.#limitAt(i)));
    });
  }

  /** How these positions compare with what was announced of the channels. */
  relationToChannels(nowMs: number): 'equal' | 'ahead' | 'behind' {
    let relation: 'equal' | 'ahead' = 'equal';
    for (let i = 0; i < this.#positions.length; i++) {
      const channel = this.#channels[i] as ChannelPosition;
      const position = this.#at(i);
      // The unborn epochs of two days both mean that nothing was published yet.
      if (channel.offset === 0 && isUnborn(channel) && this.#isStillUnborn(position, nowMs)) continue;
      if (channel.epoch !== position.epoch || position.offset < channel.offset) return 'behind';
      if (position.offset > channel.offset) relation = 'ahead';
    }
    return relation;
  }

  #isStillUnborn(position: Position, nowMs: number): boolean {
    return isUnborn(position) && unbornAgeDays(position, nowMs) < this.#retentionDays;
  }

  #limitAt(index: number): number {
    return this.#limits[index] ?? Number.POSITIVE_INFINITY;
  }

  #at(index: number): StreamPosition {
    return this.#positions[index] as StreamPosition;
  }
}
