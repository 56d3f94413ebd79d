/**
 * Opens and ends streams: the one place that knows how a socket becomes a session, where it starts, and how it is
 * told to go. Sockets come from `http`, with their request read and nothing answered yet.
 */

import { randomUUID } from 'node:crypto';
import {
  type ChannelGap,
  cursorCheck,
  decodeCursor,
  encodeCursor,
  type Position,
} from '@message-push/protocol';
import type { UserQuota } from '../core/directory.ts';
import type { Engine, Start } from '../core/engine.ts';
import type { StreamCredential } from '../core/stream-credential.ts';
import { STREAM_ENDS, type StreamEnd } from '../core/stream-ends.ts';
import type { Hub } from '../hub/hub.ts';
import { countGap } from './catch-up.ts';
import type { ExpiryClock } from './expiry-clock.ts';
import { connectionFrame, controlFrame, type FrameStyles } from './frame.ts';
import { Session, type SessionContext } from './session.ts';
import type { StreamRegistry } from './stream-registry.ts';
import type { StreamSocket } from './stream-socket.ts';
import type { StreamWheel } from './stream-wheel.ts';

/** What a request asks for, checked and in the service's own words. */
export interface StreamPlan {
  readonly userId: string | undefined;
  readonly sessionId: string | undefined;
  /** With history, in the order of the cursor, the broadcast channel last; at least that one. */
  readonly channels: readonly string[];
  readonly cursor: string | undefined;
  readonly start: Start;
  readonly styles: FrameStyles;
  readonly clientIp: string;
  /** undefined: none was shown, and the stream ends with no credential. */
  readonly credential: StreamCredential | undefined;
}

export interface StreamLimits {
  readonly maxConnections: number;
  /** 0: no limit. */
  readonly maxConnectionsPerUser: number;
  /** 0: no limit. */
  readonly maxConnectionsPerAddress: number;
}

export interface StreamsOptions {
  readonly hub: Hub;
  readonly engine: Pick<Engine, 'locate' | 'newConnectionId'>;
  readonly registry: StreamRegistry;
  readonly wheel: StreamWheel;
  readonly expiry: ExpiryClock;
  readonly session: SessionContext;
  readonly limits: StreamLimits;
  /** Where a user's streams may be on several nodes: how many there may be. */
  readonly userQuota?: UserQuota | undefined;
  readonly isRevoked?: ((credential: StreamCredential) => boolean) | undefined;
  readonly retryMs: number;
  readonly now: () => number;
  readonly random: () => number;
  readonly observer: StreamsObserver;
}

export interface StreamsObserver {
  opened(session: Session, plan: StreamPlan): void;
  closed(session: Session, reason: StreamEnd): void;
  /** `cause` where it was a failure. */
  refused(reason: StreamEnd, plan: StreamPlan, cause?: unknown): void;
  failed(session: Session, error: unknown): void;
}

/** The head of the response to a stream of this id. */
export type ResponseHead = (connectionId: string) => string;

const kSession = Symbol('session');
type SessionSocket = StreamSocket & { [kSession]?: Session };

// One function for all sockets: a closure per connection would cost more memory than the session.
function onDrain(this: SessionSocket): void {
  this[kSession]?.onDrain();
}
function onClose(this: SessionSocket): void {
  this[kSession]?.onSocketClosed();
}
function onEnd(this: SessionSocket): void {
  // A peer that has closed its side of an event stream reads no more.
  if (this.isShared !== true) this.destroy();
}
function onError(this: SessionSocket): void {
  // 'close' follows, which is where the session ends.
}

export class Streams {
  readonly #options: StreamsOptions;
  /** Response heads of streams that are opening: whatever is written first, a farewell too, follows its head. */
  readonly #heads = new Map<Session, string>();
  /** Streams that wait to be admitted. */
  #waiting = 0;
  #isDraining = false;

  constructor(options: StreamsOptions) {
    this.#options = options;
  }

  /** `head(connectionId)` is the response head; it leaves together with the first frame, in one write. */
  open(socket: StreamSocket, plan: StreamPlan, head: ResponseHead): void {
    const refusal = this.#refusal(plan);
    const { userQuota } = this.#options;
    if (refusal !== undefined) this.#refuse(socket, plan, head, refusal);
    else if (userQuota === undefined || plan.userId === undefined) this.#start(socket, plan, head);
    else void this.#startWhenAdmitted(socket, plan, head, userQuota, plan.userId);
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** Whether a newcomer would be turned away whoever it is, so that nobody need be asked about it. */
  get isFull(): boolean {
    return (
      this.#isDraining || this.#options.registry.size + this.#waiting >= this.#options.limits.maxConnections
    );
  }

  /** Keeps a socket that waits for a decision: counted, and let go when its peer goes. */
  async hold<T>(socket: StreamSocket, decision: Promise<T>): Promise<T> {
    socket.on('end', onEnd).on('error', onError);
    // A socket that is not read does not say that its peer has gone.
    socket.resume();
    this.#waiting++;
    try {
      return await decision;
    } finally {
      this.#waiting--;
      socket.off('end', onEnd).off('error', onError);
    }
  }

  /** Answers a request for a stream so that an EventSource comes back, not before `waitMs`. */
  turnAway(
    socket: StreamSocket,
    plan: StreamPlan,
    head: ResponseHead,
    { reason, waitMs = 0, cause }: { reason: StreamEnd; waitMs?: number | undefined; cause?: unknown },
  ): void {
    this.#refuse(socket, plan, head, reason, cause, waitMs);
  }

  async #startWhenAdmitted(
    socket: StreamSocket,
    plan: StreamPlan,
    head: ResponseHead,
    quota: UserQuota,
    userId: string,
  ): Promise<void> {
    let isReserved = false;
    let refusal: StreamEnd | undefined;
    let cause: unknown;
    try {
      isReserved = await this.hold(socket, quota.reserve(userId));
      if (!isReserved) refusal = 'too_many_connections_of_user';
    } catch (error) {
      refusal = 'engine_failed';
      cause = error;
    }
    // Meanwhile others may have come, and the process may have begun to stop.
    refusal ??= this.#refusal(plan);
    if (refusal === undefined && !socket.destroyed) {
      this.#start(socket, plan, head);
      return;
    }
    if (isReserved) quota.release(userId);
    if (refusal !== undefined && !socket.destroyed) this.#refuse(socket, plan, head, refusal, cause);
  }

  #refuse(
    socket: StreamSocket,
    plan: StreamPlan,
    head: ResponseHead,
    reason: StreamEnd,
    cause?: unknown,
    waitMs = 0,
  ): void {
    this.#options.observer.refused(reason, plan, cause);
    socket.on('error', onError);
    // A native EventSource never comes back after anything but a 200.
    socket.end(
      head(this.#options.engine.newConnectionId()) + this.#farewell(reason, waitMs + this.#jitteredRetryMs()),
    );
    // A peer that never closes its side must not hold what it was refused.
    socket.destroySoon();
    socket.resume();
  }

  #start(socket: StreamSocket, plan: StreamPlan, head: ResponseHead): void {
    const connectionId = this.#options.engine.newConnectionId();
    const { hub, now, registry } = this.#options;
    const session = new Session(
      socket,
      {
        connectionId,
        userId: plan.userId,
        sessionId: plan.sessionId,
        clientIp: plan.clientIp,
        credential: plan.credential,
        channels: hub.open(plan.channels, now()),
        cursorCheck: cursorCheck(plan.channels),
        styles: plan.styles,
        retryMs: this.#jitteredRetryMs(),
        connectedAtMs: now(),
      },
      this.#options.session,
    );
    // The clean-up is registered before the first write.
    (socket as SessionSocket)[kSession] = session;
    socket.on('drain', onDrain).on('close', onClose).on('end', onEnd).on('error', onError);
    socket.resume();
    hub.attach(session);
    registry.add(session);
    this.#options.expiry.add(session, session.connectedAtMs);
    this.#heads.set(session, head(connectionId));
    this.#options.observer.opened(session, plan);
    this.#begin(session, plan).catch((error: unknown) => this.fail(session, error));
  }

  /** For `SessionContext.onClosed`. */
  release(session: Session, reason: StreamEnd): void {
    const { expiry, hub, now, registry, userQuota, wheel } = this.#options;
    hub.detach(session, now());
    expiry.remove(session);
    registry.remove(session);
    if (session.userId !== undefined) userQuota?.release(session.userId);
    wheel.remove(session);
    this.#heads.delete(session);
    this.#options.observer.closed(session, reason);
  }

  /** Ends a stream with the farewell of its reason. */
  end(session: Session, reason: StreamEnd): void {
    session.end(reason, this.#takeHead(session) + this.#farewell(reason, session.retryMs));
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

  /** For `ExpiryClock`. */
  warnOfExpiry(session: Session, leftMs: number): void {
    // Its first frame is still to come, and is not late for this one.
    if (this.#heads.has(session)) return;
    const timeMs = this.#options.now();
    const data = {
      connection_id: session.connectionId,
      expires_at: new Date(timeMs + leftMs).toISOString(),
      expires_in_ms: leftMs,
    };
    session.writeNow(controlFrame('expiring', { messageId: randomUUID(), timeMs, data }));
  }

  /** The engine could not serve it: it comes back with the cursor that it has. */
  fail(session: Session, error: unknown): void {
    if (session.isEnded) return;
    this.#options.observer.failed(session, error);
    this.end(session, 'engine_failed');
  }

  /** From now on newcomers are turned away. Ends all streams, in random order, spread over `windowMs`. */
  async drain(windowMs: number): Promise<void> {
    this.#isDraining = true;
    const { registry, random } = this.#options;
    const sessions = [...registry.all()];
    for (let i = sessions.length - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [sessions[i], sessions[j]] = [sessions[j] as Session, sessions[i] as Session];
    }
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
    const { hub, wheel } = this.#options;
    await hub.opened(session.channels);
    const names = plan.channels;
    const now = (i: number): Position => {
      const { epoch, offset } = session.channels[i] as { epoch: string; offset: number };
      return { epoch, offset };
    };
    let positions: Position[] | undefined;
    let isForeignCursor = false;
    if (plan.cursor !== undefined) {
      positions = decodeCursor(plan.cursor, names)?.map((position, i) => position ?? now(i));
      isForeignCursor = positions === undefined;
    } else if (plan.start.kind !== 'now') {
      positions = await Promise.all(names.map((name) => this.#options.engine.locate(name, plan.start)));
    }
    if (session.isEnded) return;
    const cursor = positions === undefined ? session.cursor : encodeCursor(names, positions);
    const first = connectionFrame({
      retryMs: session.retryMs,
      cursor,
      messageId: randomUUID(),
      connectionId: session.connectionId,
      channels: [...names, `connection:${session.connectionId}`],
      timeMs: session.connectedAtMs,
    });
    wheel.add(session);
    const gap = isForeignCursor ? this.#foreignCursorGap(session, cursor) : '';
    session.writeNow(this.#takeHead(session) + first + gap);
    if (positions === undefined) session.goLive();
    else session.catchUp(positions, 'resume');
  }

  #takeHead(session: Session): string {
    const head = this.#heads.get(session) ?? '';
    this.#heads.delete(session);
    return head;
  }

  #refusal({ userId, clientIp, credential }: StreamPlan): StreamEnd | undefined {
    const { registry, limits, isRevoked } = this.#options;
    if (this.#isDraining) return 'draining';
    if (credential !== undefined && isRevoked?.(credential)) return 'revoked';
    if (registry.size + this.#waiting >= limits.maxConnections) return 'too_many_connections';
    const { maxConnectionsPerUser: perUser, maxConnectionsPerAddress: perAddress } = limits;
    if (perUser > 0 && userId !== undefined && registry.countOfUser(userId) >= perUser) {
      return 'too_many_connections_of_user';
    }
    if (perAddress > 0 && registry.countOfAddress(clientIp) >= perAddress) {
      return 'too_many_connections_of_address';
    }
    return undefined;
  }

  #jitteredRetryMs(): number {
    const { retryMs, random } = this.#options;
    return Math.round(retryMs * (0.5 + random()));
  }

  #farewell(reason: StreamEnd, retryMs: number): string {
    const name = STREAM_ENDS[reason].farewell;
    if (name === undefined) return '';
    const common = { messageId: randomUUID(), timeMs: this.#options.now() };
    return name === 'end'
      ? controlFrame(name, { ...common, data: { reason } })
      : controlFrame(name, { ...common, retryMs, data: { reason, retry_ms: retryMs } });
  }

  #foreignCursorGap(session: Session, cursor: string): string {
    const channels = session.channels.map(
      ({ name, epoch }): ChannelGap => ({
        channel: name,
        reason: 'invalid_cursor',
        last_seen: null,
        missed: null,
        available: null,
        epoch,
      }),
    );
    countGap(this.#options.session.counters, 'invalid_cursor', 0);
    const data = { channels };
    return controlFrame('gap', { messageId: randomUUID(), timeMs: this.#options.now(), data, cursor });
  }
}

const DRAIN_STEP_MS = 50;
