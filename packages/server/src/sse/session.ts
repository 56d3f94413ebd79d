/**
 * A session: the server's state of one stream.
 *
 *     opening ──► catching up ◄──► live ──► ended (its socket may still be sending)
 *          └────────────────────────┘
 *
 * A live session is handed every publication of its channels and stands where they stand: it keeps no positions of its
 * own. A session that catches up ignores what it is handed, and reads history from the positions that it keeps
 * meanwhile.
 */
import { cursorCheck } from '@message-push/protocol';
import type { Message } from '../core/message.ts';
import type { StreamCredential } from '../core/stream-credential.ts';
import type { StreamEnd } from '../core/stream-ends.ts';
import type { ChannelPosition } from '../hub/channel-position.ts';
import type { Delivery } from '../hub/delivery.ts';
import type { HubChannel } from '../hub/hub-channel.ts';
import type { Subscriber } from '../hub/subscriber.ts';
import type { CatchUpCause } from '../observe/metrics/counters.ts';
import type { DeliveryTrace } from '../observe/tracing/tracer.ts';
import { CatchUp, type CatchUpContext, type CatchUpStream } from './catch-up/catch-up.ts';
import type { StreamPosition } from './catch-up/catch-up-positions.ts';
import type { StreamPlan } from './stream-plan.ts';
import type { Flusher } from './wire/flusher.ts';
import { encodeFrame, type FrameStyle, type FrameStyles } from './wire/frame.ts';
import { Outbox } from './wire/outbox.ts';
import type { StreamSocket } from './wire/stream-socket.ts';

/** What all sessions share. */
export interface SessionContext extends CatchUpContext {
  readonly flusher: Flusher;
  readonly maxOutboxBytes: number;
  readonly onClosed: (session: Session, reason: StreamEnd) => void;
  /** Called when a session begins to have unsent bytes, and when it has none any more. */
  readonly onUnsent: (session: Session, hasUnsent: boolean) => void;
  /** Calls `session.resumeCatchUp` when the process holds fewer unsent bytes. */
  readonly postpone: (session: Session) => void;
  readonly onReadFailed: (session: Session, error: unknown) => void;
}

export interface SessionOptions {
  readonly plan: StreamPlan;
  readonly connectionId: string;
  /** The plan's channels, opened. */
  readonly channels: readonly HubChannel[];
  readonly retryMs: number;
  readonly connectedAtMs: number;
}

const encodeEvent = ({ message }: Delivery, style: FrameStyle): Uint8Array =>
  encodeFrame(message.type, message.json, style);

const encodeAfterPosition = ({ message, channel }: Delivery, { style }: { style: FrameStyle }): Uint8Array =>
  encodeFrame(message.type, message.json, style, `${channel.positionText}\n`);

export class Session implements Subscriber<HubChannel>, CatchUpStream {
  readonly connectionId: string;
  readonly userId: string | undefined;
  readonly sessionId: string | undefined;
  readonly clientIp: string;
  readonly channels: readonly HubChannel[];
  readonly memberIndexes: number[];
  readonly retryMs: number;
  readonly connectedAtMs: number;
  readonly socket: StreamSocket;
  readonly outbox: Outbox;
  readonly styles: FrameStyles;
  /** The check word in the cursors of this stream. */
  readonly cursorCheck: string;
  /** `undefined` when the stream was opened without one. Replaced when it is renewed. */
  credential: StreamCredential | undefined;
  lastHeartbeatMs: number;
  /** The bucket of the stream wheel that serves it. */
  heartbeatBucket = 0;
  /** When the oldest bytes that are still unsent were written; 0 when there are none. */
  unsentSinceMs = 0;
  readonly #context: SessionContext;
  /** The `id:` line up to the position of the last channel; `undefined` after another channel has moved. */
  #idPrefix: string | undefined;
  #state: 'opening' | 'catching_up' | 'live' | 'ended' = 'opening';
  #isReleased = false;
  #catchUp: CatchUp | undefined;
  #endReason: StreamEnd | undefined;
  /** Traces of pending publications; nearly always there are none. */
  #traces: DeliveryTrace[] | undefined;

  constructor(socket: StreamSocket, options: SessionOptions, context: SessionContext) {
    const { plan, channels, connectedAtMs } = options;
    this.socket = socket;
    this.outbox = new Outbox(socket);
    this.connectionId = options.connectionId;
    this.userId = plan.userId;
    this.sessionId = plan.sessionId;
    this.clientIp = plan.clientIp;
    this.credential = plan.credential;
    this.channels = channels;
    this.memberIndexes = Array.from(channels, () => 0);
    this.retryMs = options.retryMs;
    this.connectedAtMs = connectedAtMs;
    this.lastHeartbeatMs = connectedAtMs;
    this.styles = plan.styles;
    this.cursorCheck = cursorCheck(plan.channels);
    this.#context = context;
  }

  get isLive(): boolean {
    return this.#state === 'live';
  }

  /** True when nothing will be written any more. */
  get isEnded(): boolean {
    return this.#state === 'ended';
  }

  /** Number of publications that are not yet handed to the socket. */
  get queueSize(): number {
    return this.outbox.pendingFrames + (this.#catchUp?.backlog ?? 0);
  }

  /** The cursor at the channels' positions. */
  get cursor(): string {
    return this.#idLine().slice('id: '.length, -1);
  }

  /** Writes publications as they come from now on. Everything before them must have been handed over. */
  goLive(): void {
    if (this.#state === 'ended') return;
    this.#state = 'live';
    this.#catchUp = undefined;
    this.#idPrefix = undefined;
  }

  /** Feeds the session from history. `positions` are in the order of the channels. */
  catchUp(positions: StreamPosition[], cause: CatchUpCause): void {
    if (this.#state === 'ended') return;
    this.#startCatchUp(positions, cause);
    this.#catchUp?.advance();
  }

  deliver(delivery: Delivery): void {
    if (this.#state !== 'live') {
      this.#catchUp?.onChannelMoved();
      return;
    }
    const { first, last } = this.styles;
    const { outbox } = this;
    if (first !== undefined) outbox.push('', delivery.shared(first, encodeEvent));
    if (delivery.channel === this.channels[this.channels.length - 1]) {
      this.#idPrefix ??= this.#makeIdPrefix();
      outbox.push(
        this.#idPrefix,
        delivery.shared(last.afterPosition as { style: FrameStyle }, encodeAfterPosition),
      );
    } else {
      this.#idPrefix = undefined;
      outbox.push(this.#idLine(), delivery.shared(last, encodeEvent));
    }
    if (delivery.trace !== undefined) this.#follow(delivery.trace);
    this.#markDirty();
  }

  pass(channel: ChannelPosition): void {
    if (this.#state !== 'live') this.#catchUp?.onChannelMoved();
    else if (channel !== this.channels[this.channels.length - 1]) this.#idPrefix = undefined;
  }

  deliverDirectly({ type, json }: Message, trace: DeliveryTrace | undefined): boolean {
    if (this.#state === 'opening' || this.#state === 'ended') return false;
    if (this.#state === 'catching_up' && this.outbox.unsentBytes > this.#context.maxOutboxBytes) {
      this.#catchUp?.loseDirectMessage();
      return false;
    }
    const { first, last } = this.styles;
    if (first !== undefined) this.outbox.push('', encodeFrame(type, json, first));
    this.outbox.push('', encodeFrame(type, json, last));
    if (trace !== undefined) this.#follow(trace);
    this.#markDirty();
    return true;
  }

  fallBehind(cause: CatchUpCause): void {
    if (this.#state === 'catching_up') this.#catchUp?.onChannelMoved();
    if (this.#state !== 'live') return;
    // What is pending goes out first, because the positions are behind it.
    this.#writePending(performance.now());
    const positions = this.channels.map(({ epoch, offset }) => ({ epoch, offset }));
    this.#startCatchUp(positions, cause);
    // The channels are about to move on from these positions. Before they do, the session would go live again at once.
    queueMicrotask(() => this.#catchUp?.advance());
  }

  flush(nowMs: number): void {
    this.outbox.isDirty = false;
    if (this.#state === 'ended') return;
    this.#writePending(nowMs);
    if (this.#state !== 'live' || this.outbox.unsentBytes === 0) return;
    const limit = this.#context.isOutboxFull() ? 0 : this.#context.maxOutboxBytes;
    if (this.outbox.unsentBytes > limit) this.fallBehind('slow');
  }

  /** Writes a control event at once. These are too small and too few to count against the outbox's bound. */
  writeNow(frame: string | Uint8Array): void {
    if (this.#state === 'ended') return;
    this.#writePending(performance.now());
    this.outbox.write(frame);
    this.#noteUnsent();
  }

  writePage(nowMs: number): void {
    this.#writePending(nowMs);
  }

  postponeCatchUp(): void {
    this.#context.postpone(this);
  }

  resumeCatchUp(): void {
    this.#catchUp?.advance();
  }

  onReadFailed(error: unknown): void {
    this.#context.onReadFailed(this, error);
  }

  onDrain(): void {
    if (this.unsentSinceMs !== 0) {
      this.unsentSinceMs = 0;
      this.#context.onUnsent(this, false);
    }
    this.#catchUp?.advance();
  }

  /** Says farewell and ends the stream. The peer still gets what was written before. */
  end(reason: StreamEnd, farewell: string): void {
    if (this.#state === 'ended') return;
    this.#endReason ??= reason;
    this.writeNow(farewell);
    this.#state = 'ended';
    this.#catchUp = undefined;
    // Not `end`: a peer that never closes its side would keep the stream open for ever.
    this.socket.destroySoon();
  }

  destroy(reason: StreamEnd): void {
    this.#endReason ??= reason;
    this.socket.destroy();
  }

  onSocketClosed(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#state = 'ended';
    this.#catchUp = undefined;
    this.#context.onClosed(this, this.#endReason ?? 'client_closed');
  }

  #startCatchUp(positions: StreamPosition[], cause: CatchUpCause): void {
    this.#state = 'catching_up';
    this.#catchUp = new CatchUp(this, positions, this.#context);
    this.#context.counters.catchUps[cause]++;
    if (cause === 'slow') this.#context.counters.slowSessions++;
  }

  #markDirty(): void {
    const { outbox } = this;
    if (outbox.pendingBytes > this.#context.maxOutboxBytes) {
      // The publications of one turn may be more than an outbox may hold.
      this.flush(performance.now());
    } else if (!outbox.isDirty) {
      outbox.isDirty = true;
      this.#context.flusher.add(this);
    }
  }

  #writePending(nowMs: number): void {
    const frames = this.outbox.pendingFrames;
    if (frames === 0) return;
    const bytes = this.outbox.flush(nowMs);
    if (this.#traces !== undefined) this.#endTraces(this.#traces);
    const { counters } = this.#context;
    counters.deliveries += this.styles.first === undefined ? frames : frames / 2;
    counters.deliveryBytes += bytes;
    this.#noteUnsent();
  }

  #follow(trace: DeliveryTrace): void {
    trace.handedTo();
    if (this.#traces === undefined) this.#traces = [trace];
    else this.#traces.push(trace);
  }

  #endTraces(traces: readonly DeliveryTrace[]): void {
    this.#traces = undefined;
    for (const trace of traces) trace.written();
  }

  #noteUnsent(): void {
    if (this.unsentSinceMs === 0 && this.outbox.unsentBytes > 0) {
      this.unsentSinceMs = this.#context.now();
      this.#context.onUnsent(this, true);
    }
  }

  #makeIdPrefix(): string {
    const { channels } = this;
    let prefix = `id: ${this.cursorCheck}~`;
    for (let i = 0; i < channels.length - 1; i++) prefix += `${(channels[i] as HubChannel).positionText}~`;
    return prefix;
  }

  #idLine(): string {
    return `${this.#makeIdPrefix()}${(this.channels[this.channels.length - 1] as HubChannel).positionText}\n`;
  }
}
