/**
 * Catching up: feeds a session from history until it has reached the top, no faster than its socket drains. The
 * same code serves a stream that comes back with a cursor, one that starts in the past, one that reads too slowly,
 * and one whose channel had a hole.
 *
 * The session is attached to the hub before this starts, and ignores what the hub hands it. At the top, every
 * position equals the channel's, and the session goes live in the same turn: nothing falls between.
 */
import type { Engine, HistoryPage } from '../../core/engine.ts';
import type { ChannelPosition } from '../../hub/channel-position.ts';
import type { StreamCounters } from '../../observe/metrics/counters.ts';
import { encodeFrame, type FrameStyles } from '../wire/frame.ts';
import type { Outbox } from '../wire/outbox.ts';
import { CatchUpPositions, type StreamPosition } from './catch-up-positions.ts';
import { countGap, gapFrame, overflowGap } from './gaps.ts';
import type { ReadGate } from './read-gate.ts';

/** What all sessions that catch up share. */
export interface CatchUpContext {
  readonly engine: Pick<Engine, 'read'>;
  readonly readGate: ReadGate;
  readonly pageBytes: number;
  readonly retentionDays: number;
  readonly now: () => number;
  readonly counters: StreamCounters;
  /** True while the process holds as many unsent bytes as it may. */
  readonly isOutboxFull: () => boolean;
  /** Compares what was announced of these channels with their logs. */
  readonly compareWithLogs: (channels: readonly string[]) => Promise<void>;
}

/** The port from here to the session that is fed. */
export interface CatchUpStream {
  readonly connectionId: string;
  /** Joined channels, in the order of the cursor. */
  readonly channels: readonly ChannelPosition[];
  readonly cursorCheck: string;
  readonly styles: FrameStyles;
  readonly outbox: Outbox;
  readonly isLive: boolean;
  readonly isEnded: boolean;
  writeNow(frame: string): void;
  /** Writes the frames of a page, which are in the outbox. */
  writePage(nowMs: number): void;
  goLive(): void;
  /** Has `advance` called when the process holds fewer unsent bytes. */
  postponeCatchUp(): void;
  /** Ends the stream because history cannot be read; it comes back with its cursor. */
  onReadFailed(error: unknown): void;
}

const RETRY_MS = 1000;

export class CatchUp {
  readonly #stream: CatchUpStream;
  readonly #positions: CatchUpPositions;
  readonly #context: CatchUpContext;
  #isReading = false;
  #isWaitingForSocket = false;
  /** False while the positions are only what a client claims. */
  #hasRead = false;
  /** True when the top of the logs is reached, and the bus has not announced it yet. */
  #isAwaitingBus = false;
  /** Pages in a row that reached the top of the logs while what was announced is of another epoch. */
  #pagesPastBus = 0;
  #lostDirectMessages = 0;

  constructor(stream: CatchUpStream, positions: StreamPosition[], context: CatchUpContext) {
    this.#stream = stream;
    this.#positions = new CatchUpPositions(stream.channels, positions, context.retentionDays);
    this.#context = context;
  }

  /** Publications that the session has still to be fed. */
  get backlog(): number {
    return this.#positions.backlog;
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
    const stream = this.#stream;
    if (this.#isReading || stream.isEnded || stream.isLive) return;
    if (stream.outbox.unsentBytes > 0) {
      this.#waitUntilSent();
      return;
    }
    const relation = this.#positions.relationToChannels(this.#context.now());
    if (relation === 'equal') {
      this.#finish();
      return;
    }
    // Only what history has shown may be ahead of the bus; what a cursor claims is held against history first.
    if (relation === 'ahead' && this.#hasRead) {
      this.#isAwaitingBus = true;
      return;
    }
    if (this.#pagesPastBus > 1) {
      this.#wakeBus();
      return;
    }
    if (this.#context.isOutboxFull()) {
      stream.postponeCatchUp();
      return;
    }
    this.#isReading = true;
    this.#context.readGate.run(() => this.#readPage());
  }

  #waitUntilSent(): void {
    if (this.#isWaitingForSocket) return;
    this.#isWaitingForSocket = true;
    this.#stream.outbox.onceSent(() => {
      this.#isWaitingForSocket = false;
      this.advance();
    });
  }

  async #readPage(): Promise<void> {
    const stream = this.#stream;
    try {
      if (stream.isEnded) return;
      const page = await this.#context.engine.read(this.#positions.readFrom(), this.#context.pageBytes);
      if (stream.isEnded) return;
      this.#context.counters.catchUpPages++;
      this.#hasRead = true;
      if (this.#recover(page)) this.#writePage(page);
      const isAtTop = page.isComplete && !this.#positions.hasLimit;
      this.#pagesPastBus = isAtTop ? this.#pagesPastBus + 1 : 0;
    } catch (error) {
      stream.onReadFailed(error);
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
      .compareWithLogs(this.#stream.channels.map(({ name }) => name))
      .then(goOn, () => setTimeout(goOn, RETRY_MS));
  }

  /** Tells what the logs have lost behind the positions. False when the page must be read anew. */
  #recover({ channels }: HistoryPage): boolean {
    const { counters, now } = this.#context;
    const logs = channels.map(({ state }) => state);
    const { gaps, isPageUsable } = this.#positions.recover(logs, now());
    for (const { reason, missed } of gaps) countGap(counters, reason, missed ?? 0);
    if (gaps.length > 0) this.#stream.writeNow(gapFrame(gaps, this.#cursor(), now()));
    return isPageUsable;
  }

  #writePage({ publications, channels }: HistoryPage): void {
    const { outbox, connectionId, styles } = this.#stream;
    const { first, last } = styles;
    let shown = 0;
    for (const publication of publications) {
      const { type, json, exclude } = publication.message;
      if (!this.#positions.pass(publication) || exclude?.includes(connectionId) === true) continue;
      if (first !== undefined) outbox.push('', encodeFrame(type, json, first));
      outbox.push(`id: ${this.#cursor()}\n`, encodeFrame(type, json, last));
      shown++;
    }
    this.#positions.passPage(channels);
    this.#context.counters.catchUpPublications += shown;
    this.#stream.writePage(performance.now());
  }

  #finish(): void {
    const { counters, now } = this.#context;
    const missed = this.#lostDirectMessages;
    if (missed > 0) {
      countGap(counters, 'overflow', missed);
      const gap = overflowGap(this.#stream.connectionId, missed);
      this.#stream.writeNow(gapFrame([gap], this.#cursor(), now()));
    }
    this.#stream.goLive();
  }

  #cursor(): string {
    return this.#positions.cursor(this.#stream.cursorCheck);
  }
}
