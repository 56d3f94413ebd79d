/** Puts hub, sessions, wheel and registry together: they know each other in a circle that has to be closed once. */
import type { LocalDirectory, OnMembership, UserQuota } from '../core/directory.ts';
import type { Engine, EngineListener } from '../core/engine.ts';
import type { Publication } from '../core/message.ts';
import type { StreamCredential } from '../core/stream-credential.ts';
import type { StreamEnd } from '../core/stream-ends.ts';
import { Hub } from '../hub/hub.ts';
import type { StreamCounters } from '../observe/metrics/counters.ts';
import type { Tracer } from '../observe/tracing/tracer.ts';
import { Admission } from './admission.ts';
import { ReadGate } from './catch-up/read-gate.ts';
import { ExpiryClock } from './expiry-clock.ts';
import type { Session, SessionContext } from './session.ts';
import { StreamRegistry } from './stream-registry.ts';
import type { StreamSettings } from './stream-settings.ts';
import { StreamWheel } from './stream-wheel.ts';
import { Streams, type StreamsObserver } from './streams.ts';
import { Flusher } from './wire/flusher.ts';

export interface StreamCoreOptions {
  readonly engine: Pick<Engine, 'watch' | 'unwatch' | 'states' | 'locate' | 'read' | 'newConnectionId'>;
  readonly counters: StreamCounters;
  readonly tracer?: Pick<Tracer, 'startDelivery'> | undefined;
  readonly settings: StreamSettings;
  readonly retentionDays: number;
  readonly now: () => number;
  readonly random: () => number;
  readonly observer: StreamsObserver;
  /** Where streams are on several nodes: told who joins and leaves here, and asked how many streams a user may open. */
  readonly onMembership?: OnMembership | undefined;
  readonly userQuota?: UserQuota | undefined;
  /** Asked right before a stream starts: a credential may be revoked while other things are waited for. */
  readonly isRevoked?: ((credential: StreamCredential) => boolean) | undefined;
}

export interface StreamCore {
  /** Publications come in here. */
  readonly listener: EngineListener;
  readonly streams: Streams;
  readonly directory: LocalDirectory;
  start(): void;
  stop(): void;
}

/** Channels are watched this long after their last stream has left. */
const LINGER_MS = 10_000;
/** Pages of history in memory at once are at most this many, whatever the number of streams that catch up. */
const MAX_READS_AT_ONCE = 32;

export function createStreamCore(options: StreamCoreOptions): StreamCore {
  const { engine, counters, settings, now, random } = options;
  const flusher = new Flusher(settings.flushIntervalMs);
  const onTurnEnd = (publications: readonly Publication[]): void => {
    flusher.flush();
    const nowMs = now();
    for (const { message } of publications) {
      counters.deliveryLatency.record(Math.max(0, nowMs - message.timeMs) / 1000);
    }
  };
  const registry: StreamRegistry = new StreamRegistry({
    hub: () => hub,
    counters,
    kick: (session) => streams.end(session, 'kicked'),
    renew: (renewed, credential) => {
      renewed.credential = credential;
      expiry.add(renewed, now());
    },
    onMembership: options.onMembership,
  });
  const hub = new Hub({
    engine,
    lingerMs: LINGER_MS,
    onTurnEnd,
    tracer: options.tracer,
    findConnection: (connectionId) => registry.sessionOf(connectionId),
  });
  const expiry: ExpiryClock = new ExpiryClock({
    onExpiring: (expiring, leftMs) => streams.warnOfExpiry(expiring, leftMs),
    onExpired: (expired) => streams.end(expired, 'expired'),
  });
  const wheel: StreamWheel = new StreamWheel({
    settings,
    now,
    random,
    endStream: (session: Session, reason: StreamEnd) => streams.end(session, reason),
    onTick: (nowMs) => {
      hub.sweep(nowMs);
      expiry.turn(nowMs);
      counters.outboxBytes = wheel.outboxBytes;
      counters.channelsJoined = hub.channelCount;
    },
  });
  const session: SessionContext = {
    engine,
    counters,
    now,
    flusher,
    readGate: new ReadGate(MAX_READS_AT_ONCE),
    pageBytes: settings.catchUpPageBytes,
    retentionDays: options.retentionDays,
    maxOutboxBytes: settings.maxOutboxBytes,
    onClosed: (closed, reason) => streams.release(closed, reason),
    onUnsent: (changed, hasUnsent) => wheel.setUnsent(changed, hasUnsent),
    isOutboxFull: () => wheel.isOutboxFull,
    postpone: (postponed) => wheel.postpone(postponed),
    compareWithLogs: (channels) => hub.compare(channels),
    onReadFailed: (failed, error) => streams.fail(failed, error),
  };
  const streams: Streams = new Streams({
    hub,
    engine,
    registry,
    wheel,
    expiry,
    session,
    settings,
    admission: new Admission({
      settings,
      registry,
      userQuota: options.userQuota,
      isRevoked: options.isRevoked,
    }),
    now,
    random,
    observer: options.observer,
  });
  return {
    listener: hub,
    streams,
    directory: registry,
    start: () => wheel.start(),
    stop: () => wheel.stop(),
  };
}
