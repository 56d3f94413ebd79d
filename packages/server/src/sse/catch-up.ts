/**
 * Catching up: feeds a session from history until it has reached the top, no faster than its socket drains. The
 * same code serves a stream that comes back with a cursor, one that starts in the past, one that reads too
 * slowly, and one whose channel had a hole.
 *
 * The session is attached to the hub before this starts, and ignores what the hub hands it. At the top, every
 * position equals the channel's, and the session goes live in the same turn: nothing falls between.
 */
import { randomUUID } from 'node:crypto';
import {
  type ChannelGap,
  encodePosition,
  type GapReason,
  isUnborn,
  type Position,
  unbornAgeDays,
} from '@message-push/protocol';
import type { Engine, HistoryPage, LogState } from '../core/engine.ts';
import type { Publication } from '../core/message.ts';
import { decideRecovery } from '../core/recovery.ts';
import type { StreamCounters } from '../observe/metrics/counters.ts';
import { controlFrame, encodeFrame, type FrameStyles } from './frame.ts';
import type { ReadGate } from './read-gate.ts';
import type { Session } from './session.ts';

export interface CatchUpContext {
  readonly engine: Pick<Engine, 'read'>;
  readonly readGate: ReadGate;
  readonly pageBytes: number;
  readonly retentionDays: number;
  readonly now: () => number;
  readonly counters: StreamCounters;
  /** True while the process holds as many unsent bytes as it may. */
  readonly isOutboxFull: () => boolean;
  /** Calls `session.resumeCatchUp` when it no longer does. */
  readonly postpone: (session: Session) => void;
  /** Compares what was announced of these channels with their logs. */
  readonly compareWithLogs: (channels: readonly string[]) => Promise<void>;
  /** Ends the stream because history cannot be read; it comes back with its cursor. */
  readonly onReadFailed: (session: Session, error: unknown) => void;
}

const RETRY_MS = 1000;

export interface StreamPosition {
  epoch: string;
  offset: number;
}

export class CatchUp {
  readonly #session: Session;
  readonly #cursorCheck: string;
  readonly #styles: FrameStyles;
  readonly #positions: StreamPosition[];
  /** Per channel: how far this page may be shown, where the log has lost something behind it. */
  #limits: (number | undefined)[] = [];
  readonly #context: CatchUpContext;
  #isReading = false;
  #isWaitingForSocket = false;
  /** False while the positions are only what a client says. */
  #hasRead = false;
  /** Read to the top, which the bus has not brought yet. */
  #isAwaitingBus = false;
  /** Pages in a row that reached the top of the logs, while what was announced is of another epoch. */
  #pagesPastBus = 0;
  #lostDirectMessages = 0;

  constructor(
    session: Session,
    cursorCheck: string,
    styles: FrameStyles,
    positions: StreamPosition[],
    context: CatchUpContext,
  ) {
    this.#session = session;
    this.#cursorCheck = cursorCheck;
    this.#styles = styles;
    this.#positions = positions;
    this.#context = context;
  }

  /** Publications between the positions and the channels'. */
  get backlog(): number {
    let sum = 0;
    this.#session.channels.forEach((channel, i) => {
      const position = this.#positions[i];
      if (position?.epoch === channel.epoch) sum += Math.max(0, channel.offset - position.offset);
    });
    return sum;
  }

  onChannelMoved(): void {
    if (!this.#isAwaitingBus) return;
    this.#isAwaitingBus = false;
    // The channels of this publication are still moving; look when they have.
    queueMicrotask(() => this.advance());
  }

  loseDirectMessage(): void {
    this.#lostDirectMessages++;
  }

  /** Takes the next step that the socket allows. Called again when it has drained. */
  advance(): void {
    const session = this.#session;
    if (this.#isReading || session.isEnded || session.isLive) return;
    if (session.outbox.unsentBytes > 0) {
      this.#waitUntilSent();
      return;
    }
    const relation = this.#relationToHub();
    if (relation === 'equal') {
      this.#finish();
      return;
    }
    // Ahead of the bus is what history has shown; what a cursor claims is held against history first.
    if (relation === 'ahead' && this.#hasRead) {
      this.#isAwaitingBus = true;
      return;
    }
    if (this.#pagesPastBus > 1) {
      this.#wakeBus();
      return;
    }
    if (this.#context.isOutboxFull()) {
      this.#context.postpone(session);
      return;
    }
    this.#isReading = true;
    this.#context.readGate.run(() => this.#readPage());
  }

  #waitUntilSent(): void {
    if (this.#isWaitingForSocket) return;
    this.#isWaitingForSocket = true;
    this.#session.outbox.onceSent(() => {
      this.#isWaitingForSocket = false;
      this.advance();
    });
  }

  async #readPage(): Promise<void> {
    const session = this.#session;
    try {
      if (session.isEnded) return;
      const from = session.channels.map(({ name }, i) => ({
        channel: name,
        offset: this.#positionAt(i).offset,
      }));
      const page = await this.#context.engine.read(from, this.#context.pageBytes);
      if (session.isEnded) return;
      this.#context.counters.catchUpPages++;
      this.#hasRead = true;
      if (this.#announceGaps(page.channels.map((c) => c.state))) this.#writePage(page);
      const isAtTop = page.isComplete && this.#limits.every((limit) => limit === undefined);
      this.#pagesPastBus = isAtTop ? this.#pagesPastBus + 1 : 0;
    } catch (error) {
      this.#context.onReadFailed(session, error);
    } finally {
      this.#isReading = false;
    }
    this.advance();
  }

  /**
   * History is in an epoch that was not announced yet, and may never be when nobody publishes: reading again would
   * find the same for ever.
   */
  #wakeBus(): void {
    this.#pagesPastBus = 0;
    this.#isReading = true;
    const goOn = (): void => {
      this.#isReading = false;
      this.advance();
    };
    this.#context
      .compareWithLogs(this.#session.channels.map(({ name }) => name))
      .then(goOn, () => setTimeout(goOn, RETRY_MS));
  }

  /**
   * One event for all channels that have lost something. False when a position went back, so that what follows it
   * must be read anew. A page that begins before the positions is as good: reading again would find that a busy
   * channel has lost a little more meanwhile, and say so in a second event.
   */
  #announceGaps(states: readonly LogState[]): boolean {
    const gaps: ChannelGap[] = [];
    let followsPositions = true;
    this.#limits = [];
    for (let i = 0; i < states.length; i++) {
      const state = states[i] as LogState;
      const position = this.#positionAt(i);
      const recovery = decideRecovery(position, state, this.#context.now(), this.#context.retentionDays);
      if (recovery.kind === 'gap') {
        gaps.push(channelGap(this.#session.channels[i]?.name ?? '', position, state, recovery));
        countGap(this.#context.counters, recovery.reason, recovery.missed ?? 0);
      }
      const epoch = recovery.stage?.epoch ?? state.epoch;
      this.#limits[i] = recovery.stage?.until;
      if (recovery.after !== position.offset || position.epoch !== epoch) {
        if (recovery.after < position.offset) followsPositions = false;
        this.#positions[i] = { epoch, offset: recovery.after };
      }
    }
    if (gaps.length > 0) this.#writeGaps(gaps);
    return followsPositions;
  }

  #writeGaps(channels: readonly ChannelGap[]): void {
    this.#session.writeNow(
      controlFrame('gap', {
        messageId: randomUUID(),
        timeMs: this.#context.now(),
        data: { channels },
        cursor: this.#cursor(),
      }),
    );
  }

  #writePage({ publications, channels }: HistoryPage): void {
    const { outbox } = this.#session;
    const indexOf = new Map(this.#session.channels.map((channel, i) => [channel.name, i]));
    const { first, last } = this.#styles;
    let shown = 0;
    for (const publication of publications) {
      if (!this.#passTo(publication, indexOf)) continue;
      const { type, json } = publication.message;
      if (first !== undefined) outbox.push('', encodeFrame(type, json, first));
      outbox.push(`id: ${this.#cursor()}\n`, encodeFrame(type, json, last));
      shown++;
    }
    // Entries at the page's end whose own ttl has run out move the cursor too.
    channels.forEach(({ reachedOffset }, i) => {
      const position = this.#positionAt(i);
      position.offset = Math.max(position.offset, Math.min(reachedOffset, this.#limitAt(i)));
    });
    this.#context.counters.catchUpPublications += shown;
    this.#session.writePage(performance.now());
  }

  /** Moves the positions. True when it is to be shown, by the same rule as live: on the first of its channels that the session has joined. */
  #passTo({ message, places }: Publication, indexOf: ReadonlyMap<string, number>): boolean {
    const first = message.channels.find((channel) => indexOf.has(channel));
    let isShown = false;
    for (const { channel, offset } of places) {
      const index = indexOf.get(channel) as number;
      const position = this.#positionAt(index);
      // A gap has passed over this one already, or is to be told before it.
      if (offset <= position.offset || offset > this.#limitAt(index)) continue;
      position.offset = offset;
      isShown ||= channel === first;
    }
    return isShown && message.exclude?.includes(this.#session.connectionId) !== true;
  }

  #relationToHub(): 'equal' | 'ahead' | 'behind' {
    let relation: 'equal' | 'ahead' = 'equal';
    for (let i = 0; i < this.#positions.length; i++) {
      const channel = this.#session.channels[i];
      const position = this.#positions[i];
      if (channel === undefined || position === undefined) continue;
      // Two days' words for "never published to" mean the same.
      if (channel.offset === 0 && isUnborn(channel) && this.#isStillUnborn(position)) continue;
      if (channel.epoch !== position.epoch || position.offset < channel.offset) return 'behind';
      if (position.offset > channel.offset) relation = 'ahead';
    }
    return relation;
  }

  #finish(): void {
    if (this.#lostDirectMessages > 0) {
      const missed = this.#lostDirectMessages;
      countGap(this.#context.counters, 'overflow', missed);
      const channel = `connection:${this.#session.connectionId}`;
      this.#writeGaps([
        { channel, reason: 'overflow', last_seen: null, missed, available: null, epoch: null },
      ]);
    }
    this.#session.goLive();
  }

  #isStillUnborn(position: Position): boolean {
    return isUnborn(position) && unbornAgeDays(position, this.#context.now()) < this.#context.retentionDays;
  }

  #limitAt(index: number): number {
    return this.#limits[index] ?? Number.POSITIVE_INFINITY;
  }

  #positionAt(index: number): StreamPosition {
    return this.#positions[index] as StreamPosition;
  }

  #cursor(): string {
    let cursor = this.#cursorCheck;
    for (const position of this.#positions) cursor += `~${encodePosition(position)}`;
    return cursor;
  }
}

export function countGap(counters: StreamCounters, reason: GapReason, missed: number): void {
  counters.gaps[reason]++;
  counters.missedPublications += missed;
}

function channelGap(
  channel: string,
  position: Position,
  state: LogState,
  recovery: { reason: ChannelGap['reason']; after: number; missed: number | null },
): ChannelGap {
  return {
    channel,
    reason: recovery.reason,
    last_seen: { ...position },
    missed: recovery.missed,
    available: recovery.after < state.offset ? { from: recovery.after + 1, to: state.offset } : null,
    epoch: state.epoch,
  };
}
