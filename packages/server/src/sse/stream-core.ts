/** Wires hub, sessions, wheel and registry, which need each other in a circle. */
import type { LocalDirectory, OnMembership, UserQuota } from '../core/directory.ts';
import type { Engine, EngineListener } from '../core/engine.ts';
import type { Publication } from '../core/message.ts';
import type { StreamCredential } from '../core/stream-credential.ts';
import { Hub } from '../hub/hub.ts';
import type { StreamCounters } from '../observe/metrics/counters.ts';
import type { Tracer } from '../observe/tracing/tracer.ts';
import { Admission } from './admission.ts';
import { ReadGate } from './catch-up/read-gate.ts';
import { ExpiryClock } from './expiry-clock.ts';
import { StreamRegistry } from './stream-registry.ts';
import type { StreamSettings } from './stream-settings.ts';
import { StreamWheel, type StreamWheelOptions } from './stream-wheel.ts';
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
  /** Learns who joins and leaves here. Absent when this process has all streams. */
  readonly onMembership?: OnMembership | undefined;
  /** Limits a user's streams on all nodes together. Absent when this process has all streams. */
  readonly userQuota?: UserQuota | undefined;
  /** Asked right before a stream starts: its credential may have been revoked while something was waited for. */
  readonly isRevoked?: ((credential: StreamCredential) => boolean) | undefined;
}

export interface StreamCore {
  /** Receives the engine's publications. */
  readonly listener: EngineListener;
  readonly streams: Streams;
  readonly directory: LocalDirectory;
  start(): void;
  stop(): void;
}

/** Channels are watched this long after their last stream has left. */
const LINGER_MS = 10_000;
/** Bounds the pages of history in memory, however many streams catch up. */
const MAX_READS_AT_ONCE = 32;

type EndStream = StreamWheelOptions['endStream'];

export function createStreamCore(options: StreamCoreOptions): StreamCore {
  const { engine, counters, settings, userQuota, isRevoked, now, random } = options;
  const flusher = new Flusher(settings.flushIntervalMs);
  const hub: Hub = new Hub({
    engine,
    lingerMs: LINGER_MS,
    tracer: options.tracer,
    findConnection: (connectionId) => registry.sessionOf(connectionId),
    onTurnEnd: (publications) => {
      flusher.flush();
      recordLatency(counters, publications, now());
    },
  });
  const registry: StreamRegistry = new StreamRegistry({
    hub,
    counters,
    kick: (session) => streams.end(session, 'kicked'),
    renew: (session, credential) => streams.renew(session, credential),
    onMembership: options.onMembership,
  });
  const expiry: ExpiryClock = new ExpiryClock({
    onExpiring: (session, leftMs) => streams.warnOfExpiry(session, leftMs),
    onExpired: (session) => streams.end(session, 'expired'),
  });
  const endStream: EndStream = (session, reason) => streams.end(session, reason);
  const wheel = createWheel(options, { hub, expiry, endStream });
  const streams: Streams = new Streams({
    hub,
    engine,
    registry,
    admission: new Admission({ settings, registry, userQuota, isRevoked }),
    wheel,
    expiry,
    session: {
      engine,
      counters,
      now,
      flusher,
      readGate: new ReadGate(MAX_READS_AT_ONCE),
      pageBytes: settings.catchUpPageBytes,
      retentionDays: options.retentionDays,
      maxOutboxBytes: settings.maxOutboxBytes,
      onClosed: (session, reason) => streams.release(session, reason),
      onUnsent: (session, hasUnsent) => wheel.setUnsent(session, hasUnsent),
      isOutboxFull: () => wheel.isOutboxFull,
      postpone: (session) => wheel.postpone(session),
      compareWithLogs: (channels) => hub.compare(channels),
      onReadFailed: (session, error) => streams.fail(session, error),
    },
    settings,
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

function createWheel(
  { settings, counters, now, random }: StreamCoreOptions,
  { hub, expiry, endStream }: { hub: Hub; expiry: ExpiryClock; endStream: EndStream },
): StreamWheel {
  const wheel: StreamWheel = new StreamWheel({
    settings,
    now,
    random,
    endStream,
    onTick: (nowMs) => {
      hub.sweep(nowMs);
      expiry.turn(nowMs);
      counters.outboxBytes = wheel.outboxBytes;
      counters.channelsJoined = hub.channelCount;
    },
  });
  return wheel;
}

function recordLatency(counters: StreamCounters, publications: readonly Publication[], nowMs: number): void {
  for (const { message } of publications) {
    counters.deliveryLatency.record(Math.max(0, nowMs - message.timeMs) / 1000);
  }
}
