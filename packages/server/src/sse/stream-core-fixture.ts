/** Hub, sessions and wheel over a given engine, with fake sockets for peers. */
import { BROADCAST_CHANNEL } from '@message-push/protocol';
import type { Draft } from '../core/message.ts';
import { StreamCounters } from '../observe/metrics/counters.ts';
import type { Session } from './session.ts';
import { createStreamCore, type StreamCore, type StreamCoreOptions } from './stream-core.ts';
import { FakeSocket, parseEventStream, type SeenEvent } from './stream-fixture.ts';
import type { StreamPlan } from './stream-plan.ts';
import type { StreamSettings } from './stream-settings.ts';
import { frameStyles } from './wire/frame.ts';

export const HEAD = 'HTTP/1.1 200 OK\r\n\r\n';

export interface CoreUnderTest extends StreamCore {
  readonly counters: StreamCounters;
  readonly closed: string[];
  open(channels: readonly string[], plan?: Partial<StreamPlan>, socket?: FakeSocket): FakeSocket;
}

export function createTestCore(
  engine: StreamCoreOptions['engine'],
  { userQuota, ...settings }: Partial<StreamSettings> & Pick<StreamCoreOptions, 'userQuota'> = {},
): CoreUnderTest {
  const counters = new StreamCounters();
  const closed: string[] = [];
  const core = createStreamCore({
    engine,
    counters,
    settings: {
      maxConnections: 100,
      maxConnectionsPerUser: 0,
      maxConnectionsPerAddress: 0,
      heartbeatMs: 600_000,
      stallMs: 10_000,
      maxAgeMs: 0,
      retryMs: 1000,
      flushIntervalMs: 0,
      maxOutboxBytes: 4096,
      maxTotalOutboxBytes: 1 << 30,
      catchUpPageBytes: 1000,
      ...settings,
    },
    userQuota,
    retentionDays: 7,
    now: Date.now,
    random: () => 0.5,
    observer: {
      opened: () => {},
      closed: (_session: Session, reason) => closed.push(reason),
      refused: (reason) => closed.push(`refused ${reason}`),
      failed: () => {},
    },
  });
  return {
    ...core,
    counters,
    closed,
    open: (channels, plan = {}, socket = new FakeSocket()) => {
      const full: StreamPlan = {
        userId: undefined,
        sessionId: undefined,
        channels: [...channels, BROADCAST_CHANNEL],
        cursor: undefined,
        start: { kind: 'now' },
        styles: frameStyles('named', 'error'),
        clientIp: '127.0.0.1',
        credential: undefined,
        ...plan,
      };
      core.streams.open(socket.asSocket, full, () => HEAD);
      return socket;
    },
  };
}

export function draftOf(id: string, channels: readonly string[], pad = 0): Draft {
  return {
    message: {
      id,
      type: 'info',
      channels,
      exclude: undefined,
      timeMs: Date.now(),
      json: Buffer.from(JSON.stringify({ id, pad: 'x'.repeat(pad) })),
    },
    ttlMs: undefined,
    hasOwnTtl: false,
    fingerprint: undefined,
    ack: 'stored',
  };
}

export const eventsOf = (socket: FakeSocket): SeenEvent[] => parseEventStream(socket.received).events;
export const shownOn = (socket: FakeSocket): string[] =>
  eventsOf(socket)
    .filter((e) => e.type === 'info')
    .map((e) => e.data.id);
export const cursorOf = (socket: FakeSocket): string => parseEventStream(socket.received).lastEventId;

/** Waits until everything that waits for a turn of the event loop has happened. */
export async function settle(turns = 20): Promise<void> {
  for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
}
