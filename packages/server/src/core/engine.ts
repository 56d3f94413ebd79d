/**
 * The engine port: ordering, history and notification. `engine/engine-suite-fixture.ts` is the suite that every engine
 * passes; the rules here are what it tests.
 *
 * - A channel is a log. Its publications are numbered 1, 2, 3 … without holes within one epoch.
 * - `publish` orders, appends and notifies in one atomic step, and resolves once the message is durable at the
 *   level that its receipt names. A message whose publish was rejected is not stored, or stored unannounced to
 *   its publisher; either way a repeat with the same id stores it at most once.
 * - Every publication on a watched channel is announced to the listener, in the order of offsets. Announcements
 *   may be missing or doubled when an engine's bus fails; history is the truth, and offsets show the hole.
 * - Nothing here knows sessions, HTTP or frames.
 */
import type { Position } from '@message-push/protocol';
import type { Draft, Publication, Receipt } from './message.ts';

export interface EngineListener {
  /** Publications of one turn, in order. The array is the listener's to keep. */
  onPublications(publications: readonly Publication[]): void;
  /** Announcements on these watched channels may have been lost: compare positions, read what is missing. */
  onSuspect(channels: readonly string[]): void;
}

/** Where a stream without a cursor starts on a channel. */
export type Start =
  | { readonly kind: 'now' }
  | { readonly kind: 'all' }
  | { readonly kind: 'last'; readonly count: number }
  | { readonly kind: 'time'; readonly sinceMs: number };

/** What is known of a channel's log. `offset` is its newest entry; entries up to `floor` are lost to trimming. */
export interface LogState {
  readonly epoch: string;
  readonly offset: number;
  readonly floor: number;
  /** Earlier epochs that this log continues, newest first; a log whose store never went back has none. */
  readonly ancestors?: readonly Ancestor[];
}

/**
 * An epoch that was closed because the store may have lost its newest entries (a restart, a failover, a backup put back), and was
 * continued by the next one: positions in it up to `upTo` are positions in the log, those beyond are not.
 */
export interface Ancestor {
  readonly epoch: string;
  readonly upTo: number;
  /** It is known that acknowledged entries are missing after `upTo`. */
  readonly isLossy: boolean;
}

/** A channel and the position after which a reader wants to go on. The epoch is the log's current one. */
export interface ReadFrom {
  readonly channel: string;
  readonly offset: number;
}

export interface HistoryPage {
  /** Sorted by `order`; per channel by offset. Entries whose own ttl has run out are passed over. */
  readonly publications: readonly Publication[];
  /**
   * Per requested channel: the log as it was when read, and how far this page reaches. A reader that has handled
   * the page stands at `reachedOffset`. `state.floor` above the asked offset means that entries were lost.
   */
  readonly channels: readonly { readonly state: LogState; readonly reachedOffset: number }[];
  /** Every channel was read to its newest entry. */
  readonly isComplete: boolean;
}

export interface HistoryRange {
  /** First and last offset, inclusive. */
  readonly from: number;
  readonly to: number;
  readonly limit: number;
  /** Newest first. */
  readonly reverse: boolean;
}

export interface ChannelSummary extends LogState {
  readonly channel: string;
  /** Entries in history. */
  readonly messages: number;
  /** Bytes of JSON in history. */
  readonly bytes: number;
  /** When the last one was published, ms since 1970; 0 when never. */
  readonly lastPublishedMs: number;
}

export interface EngineHealth {
  readonly status: 'healthy' | 'degraded' | 'unhealthy';
  /** What is wrong, for a person; undefined when nothing is. */
  readonly reason: string | undefined;
  /** Engine-specific figures, named as in the metrics. */
  readonly details: Readonly<Record<string, number | string | boolean | null>>;
}

export interface Engine {
  readonly kind: 'embedded' | 'redis';

  /** Opens the store and starts to announce; rejects with an Error for the operator when it cannot. */
  open(listener: EngineListener): Promise<void>;

  /** An id for a stream's `connection:` channel, by which any node finds the stream. */
  newConnectionId(): string;

  /** Rejects with a `RequestError`: `id_conflict`, `storage_full`, `engine_unavailable`, `engine_overloaded`, `not_replicated`. */
  publish(draft: Draft): Promise<Receipt>;

  /**
   * From the moment it resolves, every publication after the positions that it resolves with is announced.
   * Watching is not counted: one unwatch ends it.
   */
  watch(channels: readonly string[]): Promise<readonly LogState[]>;
  unwatch(channels: readonly string[]): void;

  /** The logs of `channels` now; an unborn channel has offset 0, floor 0 and an unborn epoch. */
  states(channels: readonly string[]): Promise<readonly LogState[]>;

  /** The position after which a reader that wants `start` reads on. */
  locate(channel: string, start: Start): Promise<Position>;

  /** What follows `from` on several channels, merged; at least one entry when there is one, then up to `maxBytes` of JSON. */
  read(from: readonly ReadFrom[], maxBytes: number): Promise<HistoryPage>;

  /** One channel's history for people and tools. */
  range(
    channel: string,
    range: HistoryRange,
  ): Promise<{ state: LogState; publications: readonly Publication[] }>;

  /** Channels with history whose name starts with `prefix`, sorted by name, after `after`. */
  channels(query: { prefix: string; after: string; limit: number }): Promise<{
    total: number;
    channels: readonly ChannelSummary[];
  }>;

  health(): EngineHealth;

  /** Answers what was accepted, then closes. */
  close(): Promise<void>;
}
