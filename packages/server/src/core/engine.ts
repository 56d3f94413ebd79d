/**
 * The engine port: ordering, history and notification. `engine/engine-suite-fixture.ts` tests the rules below on
 * every engine.
 *
 * - A channel is a log. Its publications are numbered 1, 2, 3 … without holes within one epoch.
 * - `publish` orders, appends and notifies in one atomic step. It resolves once the message is durable at the level
 *   that its receipt names. When it rejects, the message may still have been stored (an answer was lost, for example);
 *   repeating it with the same id stores it at most once.
 * - Every publication on a watched channel is announced to the listener, in the order of offsets. When an engine's bus
 *   fails, announcements may be missing or doubled. Offsets show the hole, and history has the truth.
 * - An engine knows nothing of sessions, HTTP or frames.
 */
import type { Position } from '@message-push/protocol';
import type { Draft, Publication, Receipt } from './message.ts';

/** The port to whoever is told of publications. */
export interface EngineListener {
  /** Called with the publications of one turn, in order. The listener may keep the array. */
  onPublications(publications: readonly Publication[]): void;
  /** Called when announcements on these watched channels may have been lost. The listener compares positions. */
  onSuspect(channels: readonly string[]): void;
}

/** Where a stream without a cursor starts on a channel. */
export type Start =
  | { readonly kind: 'now' }
  | { readonly kind: 'all' }
  | { readonly kind: 'last'; readonly count: number }
  | { readonly kind: 'time'; readonly sinceMs: number };

/** The state of a channel's log. */
export interface LogState {
  readonly epoch: string;
  /** Offset of the newest entry. */
  readonly offset: number;
  /** Entries up to this offset are lost to trimming. */
  readonly floor: number;
  /** Earlier epochs that this log continues, newest first. Absent when its store never went back in time. */
  readonly ancestors?: readonly Ancestor[];
}

/**
 * An epoch that was closed and continued by the next one, because the store may have lost its newest entries (by a
 * restart, a failover, a restored backup). Positions in it up to `upTo` are positions in the log; those beyond are
 * not.
 */
export interface Ancestor {
  readonly epoch: string;
  readonly upTo: number;
  /** True when acknowledged entries after `upTo` are known to be missing. */
  readonly isLossy: boolean;
}

/** A channel and the offset after which a reader goes on, in the log's current epoch. */
export interface ReadFrom {
  readonly channel: string;
  readonly offset: number;
}

export interface HistoryPage {
  /** Sorted by `order`, and per channel by offset. Entries that have outlived a ttl of their own are left out. */
  readonly publications: readonly Publication[];
  /**
   * For each requested channel, the log when it was read and how far this page reaches. A reader that has handled
   * the page stands at `reachedOffset`. Entries were lost when `state.floor` is above the offset that was asked for.
   */
  readonly channels: readonly { readonly state: LogState; readonly reachedOffset: number }[];
  /** True when every channel was read to its newest entry. */
  readonly isComplete: boolean;
}

export interface HistoryRange {
  /** First offset, inclusive. */
  readonly from: number;
  /** Last offset, inclusive. */
  readonly to: number;
  readonly limit: number;
  /** Newest first. */
  readonly reverse: boolean;
}

export interface ChannelSummary extends LogState {
  readonly channel: string;
  /** Number of entries in history. */
  readonly messages: number;
  /** Bytes of JSON in history. */
  readonly bytes: number;
  /** Milliseconds since 1970; 0 when nothing was published. */
  readonly lastPublishedMs: number;
}

export interface EngineHealth {
  readonly status: 'healthy' | 'degraded' | 'unhealthy';
  /** A sentence for operators; `undefined` when the engine is healthy. */
  readonly reason: string | undefined;
  /** Figures of this kind of engine, named as in the metrics. */
  readonly details: Readonly<Record<string, number | string | boolean | null>>;
}

export interface Engine {
  readonly kind: 'embedded' | 'redis';

  /** Opens the store and starts to announce. Rejects with an error that operators can read. */
  open(listener: EngineListener): Promise<void>;

  /** Makes an id for a stream's `connection:` channel, by which any node finds the stream. */
  newConnectionId(): string;

  /**
   * Stores a message and announces it. Rejects with a `RequestError`: `id_conflict`, `storage_full`,
   * `engine_unavailable`, `engine_overloaded` or `not_replicated`.
   */
  publish(draft: Draft): Promise<Receipt>;

  /**
   * Starts to announce these channels. Every publication after the positions that it resolves with is announced.
   * Watching is not counted: one `unwatch` ends it.
   */
  watch(channels: readonly string[]): Promise<readonly LogState[]>;
  unwatch(channels: readonly string[]): void;

  /** The logs of `channels` as they are now. An unborn channel has offset 0, floor 0 and an unborn epoch. */
  states(channels: readonly string[]): Promise<readonly LogState[]>;

  /** The position after which a reader that wants `start` goes on. */
  locate(channel: string, start: Start): Promise<Position>;

  /**
   * Reads what follows `from` on several channels, merged. The page has at least one entry when there is one, and
   * otherwise up to `maxBytes` of JSON.
   */
  read(from: readonly ReadFrom[], maxBytes: number): Promise<HistoryPage>;

  /** Reads one channel's history for people and tools. */
  range(
    channel: string,
    range: HistoryRange,
  ): Promise<{ state: LogState; publications: readonly Publication[] }>;

  /** Lists channels with history whose name starts with `prefix` and comes after `after`, sorted by name. */
  channels(query: { prefix: string; after: string; limit: number }): Promise<{
    /** Number of channels with this prefix. */
    total: number;
    channels: readonly ChannelSummary[];
  }>;

  health(): EngineHealth;

  /** Answers every publish that was accepted, then closes. */
  close(): Promise<void>;
}
