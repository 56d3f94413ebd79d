/**
 * The clock of all streams: heartbeats, deadlines and bounds run from one timer, so that a stream costs no timer of its
 * own. Heartbeats are spread over the interval: every tick serves one bucket of streams.
 */
import type { StreamEnd } from '../core/stream-ends.ts';
import type { Session } from './session.ts';
import type { StreamSettings } from './stream-settings.ts';
import { heartbeatFrame } from './wire/frame.ts';
import type { StreamSocket } from './wire/stream-socket.ts';

export interface StreamWheelOptions {
  readonly settings: Pick<StreamSettings, 'heartbeatMs' | 'stallMs' | 'maxAgeMs' | 'maxTotalOutboxBytes'>;
  readonly now: () => number;
  readonly random: () => number;
  readonly endStream: (session: Session, reason: StreamEnd) => void;
  /** Called at every tick, for other things that go by this clock. */
  readonly onTick: (nowMs: number) => void;
}

const TICK_MS = 100;
/** Streams end up to this share before their maximum age, so that those that came together do not leave together. */
const AGE_JITTER = 0.1;

/** The progress of a socket with unsent bytes. */
interface Watched {
  /** Bytes that the kernel had taken when it last took some. */
  takenBytes: number;
  sinceMs: number;
}

export class StreamWheel {
  readonly #options: StreamWheelOptions;
  readonly #buckets: Set<Session>[];
  readonly #unsent = new Map<Session, Watched>();
  #postponed: Session[] = [];
  #tick = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Unsent bytes of all streams at the last tick. */
  outboxBytes = 0;

  constructor(options: StreamWheelOptions) {
    this.#options = options;
    const buckets = Math.max(1, Math.round(options.settings.heartbeatMs / TICK_MS));
    this.#buckets = Array.from({ length: buckets }, () => new Set<Session>());
  }

  start(): void {
    this.#timer = setInterval(() => this.#turn(), TICK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  add(session: Session): void {
    // The bucket just served: the first heartbeat comes a whole interval from now.
    session.heartbeatBucket = this.#tick % this.#buckets.length;
    this.#buckets[session.heartbeatBucket]?.add(session);
  }

  remove(session: Session): void {
    this.#buckets[session.heartbeatBucket]?.delete(session);
    this.#unsent.delete(session);
  }

  setUnsent(session: Session, hasUnsent: boolean): void {
    if (hasUnsent) {
      this.#unsent.set(session, { takenBytes: -1, sinceMs: this.#options.now() });
    } else this.#unsent.delete(session);
  }

  get isOutboxFull(): boolean {
    return this.outboxBytes > this.#options.settings.maxTotalOutboxBytes;
  }

  postpone(session: Session): void {
    this.#postponed.push(session);
  }

  #turn(): void {
    const nowMs = this.#options.now();
    this.#tick++;
    this.#beat(this.#buckets[this.#tick % this.#buckets.length] as Set<Session>, nowMs);
    this.#watchUnsent(nowMs);
    if (!this.isOutboxFull && this.#postponed.length > 0) {
      const sessions = this.#postponed;
      this.#postponed = [];
      for (const session of sessions) session.resumeCatchUp();
    }
    this.#options.onTick(nowMs);
  }

  #beat(sessions: Set<Session>, nowMs: number): void {
    const { random, endStream } = this.#options;
    const { maxAgeMs } = this.#options.settings;
    const frame = heartbeatFrame(nowMs);
    for (const session of sessions) {
      if (maxAgeMs > 0 && nowMs - session.connectedAtMs > maxAgeMs * (1 - AGE_JITTER * random())) {
        endStream(session, 'max_age');
        continue;
      }
      // Bytes are on their way already. A heartbeat behind them would tell the peer nothing more.
      if (session.outbox.unsentBytes > 0) continue;
      session.lastHeartbeatMs = nowMs;
      session.writeNow(frame);
    }
  }

  #watchUnsent(nowMs: number): void {
    let total = 0;
    for (const [session, watched] of this.#unsent) {
      const { unsentBytes } = session.outbox;
      if (unsentBytes === 0) {
        // [Node] 'drain' comes only when a write went beyond the high-water mark, and these did not.
        session.onDrain();
        continue;
      }
      total += unsentBytes;
      const takenBytes = bytesTaken(session.socket) ?? session.outbox.sentBytes;
      if (takenBytes > watched.takenBytes) {
        watched.takenBytes = takenBytes;
        watched.sinceMs = nowMs;
      } else if (nowMs - watched.sinceMs > this.#options.settings.stallMs) {
        this.#unsent.delete(session);
        session.destroy('stalled');
      }
    }
    this.outboxBytes = total;
  }
}

/**
 * Bytes that the kernel has taken so far. `writableLength` counts a whole write until its last byte is gone, which would
 * make a peer that reads slowly look like one that does not read at all. Node's own socket timeout looks at the handle,
 * too. `undefined` when the handle does not tell, as for a stream that shares its connection.
 */
function bytesTaken(socket: StreamSocket): number | undefined {
  const { _handle: handle } = socket as unknown as { _handle?: Handle | null };
  // [Node] Under TLS, the handle of the TCP socket lies beneath this one.
  const { bytesWritten, writeQueueSize } = handle?._parent ?? handle ?? {};
  if (typeof bytesWritten !== 'number' || typeof writeQueueSize !== 'number') return undefined;
  return bytesWritten - writeQueueSize;
}

interface Handle {
  readonly bytesWritten?: unknown;
  readonly writeQueueSize?: unknown;
  readonly _parent?: Handle | null;
}
