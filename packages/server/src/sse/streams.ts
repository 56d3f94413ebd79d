/**
 * Opens and ends streams: the one place that knows how a socket becomes a session, where it starts, and how it is
 * told to go. Sockets come from `http`, with their request read and nothing answered yet.
 */

import { randomUUID } from 'node:crypto';
import { decodeCursor, encodeCursor, type Position } from '@message-push/protocol';
import type { Engine } from '../core/engine.ts';
import type { StreamCredential } from '../core/stream-credential.ts';
import type { StreamEnd } from '../core/stream-ends.ts';
import type { Hub } from '../hub/hub.ts';
import type { Admission, Refusal } from './admission.ts';
import { countGap, foreignCursorGap, gapFrame } from './catch-up/gaps.ts';
import type { ExpiryClock } from './expiry-clock.ts';
import { Session, type SessionContext } from './session.ts';
import type { StreamPlan } from './stream-plan.ts';
import type { StreamRegistry } from './stream-registry.ts';
import type { StreamSettings } from './stream-settings.ts';
import type { StreamWheel } from './stream-wheel.ts';
import { farewellFrame } from './wire/farewell.ts';
import { connectionFrame, controlFrame } from './wire/frame.ts';
import { bindSocket, endSocket } from './wire/socket-binding.ts';
import type { StreamSocket } from './wire/stream-socket.ts';

export interface StreamsOptions {
  readonly hub: Hub;
  readonly engine: Pick<Engine, 'locate' | 'newConnectionId'>;
  readonly registry: StreamRegistry;
  readonly admission: Admission;
  readonly wheel: StreamWheel;
  readonly expiry: ExpiryClock;
  readonly session: SessionContext;
  readonly settings: Pick<StreamSettings, 'retryMs'>;
  readonly now: () => number;
  readonly random: () => number;
  readonly observer: StreamsObserver;
}

export interface StreamsObserver {
  opened(session: Session, plan: StreamPlan): void;
  closed(session: Session, reason: StreamEnd): void;
  /** `cause` is given when the reason is a failure. */
  refused(reason: StreamEnd, plan: StreamPlan, cause?: unknown): void;
  failed(session: Session, error: unknown): void;
}

/** Makes the response head of the stream with this id. It leaves together with the first frame, in one write. */
export type ResponseHead = (connectionId: string) => string;

const DRAIN_STEP_MS = 50;

export class Streams {
  readonly #options: StreamsOptions;
  /** Response heads of streams that are opening: whatever is written first, a farewell too, follows its head. */
  readonly #heads = new Map<Session, string>();

  constructor(options: StreamsOptions) {
    this.#options = options;
  }

  open(socket: StreamSocket, plan: StreamPlan, head: ResponseHead): void {
    const { admission } = this.#options;
    const refusal = admission.refusal(plan);
    if (refusal !== undefined) this.turnAway(socket, plan, head, refusal);
    else if (!admission.needsReservation(plan)) this.#start(socket, plan, head);
    else void this.#startWhenReserved(socket, plan, head);
  }

  get isDraining(): boolean {
    return this.#options.admission.isDraining;
  }

  get isFull(): boolean {
    return this.#options.admission.isFull;
  }

  /** See `Admission`. */
  hold<T>(socket: StreamSocket, decision: Promise<T>): Promise<T> {
    return this.#options.admission.hold(socket, decision);
  }

  /** Answers a request for a stream so that an EventSource comes back, not before `waitMs`. */
  turnAway(
    socket: StreamSocket,
    plan: StreamPlan,
    head: ResponseHead,
    { reason, cause, waitMs = 0 }: Refusal & { readonly waitMs?: number | undefined },
  ): void {
    const { engine, now, observer } = this.#options;
    observer.refused(reason, plan, cause);
    const farewell = farewellFrame(reason, waitMs + this.#jitteredRetryMs(), now());
    // A native EventSource never comes back after anything but a 200.
    endSocket(socket, head(engine.newConnectionId()) + farewell);
  }

  async #startWhenReserved(socket: StreamSocket, plan: StreamPlan, head: ResponseHead): Promise<void> {
    const { admission } = this.#options;
    let refusal = await admission.reserve(socket, plan);
    const isReserved = refusal === undefined;
    // Others may have come meanwhile, and the process may have begun to stop. Nothing may be waited for from here on.
    refusal ??= admission.refusal(plan);
    if (refusal === undefined && !socket.destroyed) {
      this.#start(socket, plan, head);
      return;
    }
    if (isReserved) admission.release(plan.userId);
    if (refusal !== undefined && !socket.destroyed) this.turnAway(socket, plan, head, refusal);
  }

  #start(socket: StreamSocket, plan: StreamPlan, head: ResponseHead): void {
    const { engine, expiry, hub, now, observer, registry, session: context } = this.#options;
    const connectionId = engine.newConnectionId();
    const channels = hub.open(plan.channels, now());
    const retryMs = this.#jitteredRetryMs();
    const session = new Session(
      socket,
      { plan, connectionId, channels, retryMs, connectedAtMs: now() },
      context,
    );
    // The clean-up is registered before the first write.
    bindSocket(socket, session);
    hub.attach(session);
    registry.add(session);
    expiry.add(session, session.connectedAtMs);
    this.#heads.set(session, head(connectionId));
    observer.opened(session, plan);
    this.#begin(session, plan).catch((error: unknown) => this.fail(session, error));
  }

  /** Forgets a stream whose socket has closed. */
  release(session: Session, reason: StreamEnd): void {
    const { admission, expiry, hub, now, observer, registry, wheel } = this.#options;
    hub.detach(session, now());
    expiry.remove(session);
    registry.remove(session);
    admission.release(session.userId);
    wheel.remove(session);
    this.#heads.delete(session);
    observer.closed(session, reason);
  }

  /** Ends a stream with the farewell of its reason. */
  end(session: Session, reason: StreamEnd): void {
    const farewell = farewellFrame(reason, session.retryMs, this.#options.now());
    session.end(reason, this.#takeHead(session) + farewell);
  }

  /** Ends the streams whose credential `isConcerned`; returns how many. */
  endRevoked(
    isConcerned: (connectionId: string, credential: StreamCredential | undefined) => boolean,
  ): number {
    // Ending one changes the registry.
    const sessions = [...this.#options.registry.all()].filter(
      (session) => !session.isEnded && isConcerned(session.connectionId, session.credential),
    );
    for (const session of sessions) this.end(session, 'revoked');
    return sessions.length;
  }

  credentialOf(connectionId: string): StreamCredential | undefined {
    return this.#options.registry.sessionOf(connectionId)?.credential;
  }

  /** Carries a stream on with another credential. */
  renew(session: Session, credential: StreamCredential): void {
    session.credential = credential;
    this.#options.expiry.add(session, this.#options.now());
  }

  /** Tells a stream that its credential ends in `leftMs`. */
  warnOfExpiry(session: Session, leftMs: number): void {
    // A stream that is still opening must begin with its own first frame.
    if (this.#heads.has(session)) return;
    const timeMs = this.#options.now();
    const data = {
      connection_id: session.connectionId,
      expires_at: new Date(timeMs + leftMs).toISOString(),
      expires_in_ms: leftMs,
    };
    session.writeNow(controlFrame('expiring', { messageId: randomUUID(), timeMs, data }));
  }

  /** Ends a stream that the engine could not serve. It comes back with the cursor that it has. */
  fail(session: Session, error: unknown): void {
    if (session.isEnded) return;
    this.#options.observer.failed(session, error);
    this.end(session, 'engine_failed');
  }

  /** Turns newcomers away from now on, and ends all streams in random order, spread over `windowMs`. */
  async drain(windowMs: number): Promise<void> {
    const { admission, registry, random } = this.#options;
    admission.startDraining();
    const sessions = shuffled(registry.all(), random);
    const steps = Math.max(1, Math.floor(windowMs / DRAIN_STEP_MS));
    const perStep = Math.max(1, Math.ceil(sessions.length / steps));
    for (let i = 0; i < sessions.length; i += perStep) {
      for (const session of sessions.slice(i, i + perStep)) this.end(session, 'draining');
      if (i + perStep < sessions.length) {
        await new Promise((resolve) => setTimeout(resolve, DRAIN_STEP_MS));
      }
    }
  }

  async #begin(session: Session, plan: StreamPlan): Promise<void> {
    const { hub, now, session: context, wheel } = this.#options;
    await hub.opened(session.channels);
    const positions = await this.#startPositions(session, plan);
    if (session.isEnded) return;
    const cursor = positions === undefined ? session.cursor : encodeCursor(plan.channels, positions);
    const first = connectionFrame({
      retryMs: session.retryMs,
      cursor,
      messageId: randomUUID(),
      connectionId: session.connectionId,
      channels: [...plan.channels, `connection:${session.connectionId}`],
      timeMs: session.connectedAtMs,
    });
    wheel.add(session);
    let gap = '';
    if (plan.cursor !== undefined && positions === undefined) {
      countGap(context.counters, 'invalid_cursor', 0);
      gap = gapFrame(session.channels.map(foreignCursorGap), cursor, now());
    }
    session.writeNow(this.#takeHead(session) + first + gap);
    if (positions === undefined) session.goLive();
    else session.catchUp(positions, 'resume');
  }

  /** `undefined` when the stream starts at the top: it asked for nothing else, or its cursor is of other channels. */
  async #startPositions(
    session: Session,
    { channels, cursor, start }: StreamPlan,
  ): Promise<Position[] | undefined> {
    if (cursor !== undefined) {
      return decodeCursor(cursor, channels)?.map((position, i) => {
        const { epoch, offset } = session.channels[i] as Position;
        return position ?? { epoch, offset };
      });
    }
    if (start.kind === 'now') return undefined;
    return Promise.all(channels.map((channel) => this.#options.engine.locate(channel, start)));
  }

  #takeHead(session: Session): string {
    const head = this.#heads.get(session) ?? '';
    this.#heads.delete(session);
    return head;
  }

  #jitteredRetryMs(): number {
    const { settings, random } = this.#options;
    return Math.round(settings.retryMs * (0.5 + random()));
  }
}

function shuffled<T>(items: Iterable<T>, random: () => number): T[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [result[i], result[j]] = [result[j] as T, result[i] as T];
  }
  return result;
}
