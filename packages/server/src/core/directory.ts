/**
 * Views of the open streams, for publishers' answers and for operators. The hub answers for its own process; an
 * engine that connects nodes answers for all of them. Nothing on a message's way waits for these.
 */

/** How many streams a message reaches. */
export interface Audience {
  /** Distinct streams that have joined any of `channels`, without those of `exclude`. */
  countStreams(channels: readonly string[], exclude: readonly string[] | undefined): number;
}

export interface ConnectionView {
  readonly connectionId: string;
  readonly userId: string | undefined;
  readonly sessionId: string | undefined;
  readonly channels: readonly string[];
  readonly connectedAtMs: number;
  /** When the last heartbeat was sent; the time of connecting until then. */
  readonly lastHeartbeatMs: number;
  readonly clientIp: string;
  /** Publications that are not yet handed to the socket. */
  readonly queueSize: number;
  /** Bytes handed to the socket that the peer has not taken. */
  readonly unsentBytes: number;
  readonly state: 'live' | 'catching_up';
}

export interface StreamTotals {
  readonly connections: number;
  /** Of these, live: not catching up. */
  readonly liveConnections: number;
  readonly connectionsCreated: number;
  readonly connectionsClosed: number;
  /** Publications written to a stream, summed over streams. */
  readonly messagesSent: number;
  /** Publications that a stream could not be given: lost to a gap. */
  readonly messagesFailed: number;
  /** Channels with at least one stream. */
  readonly channels: number;
  readonly averageQueueSize: number;
  readonly connectionsByUser: Readonly<Record<string, number>>;
}

export interface PresenceEntry {
  readonly userId: string | undefined;
  readonly connections: number;
  /** When the first of them joined, ms since 1970. */
  readonly sinceMs: number;
}

export interface ConnectionQuery {
  readonly userId?: string | undefined;
  readonly channel?: string | undefined;
  readonly limit: number;
}

export interface Directory {
  /** The oldest `limit` matching streams and how many match in all. */
  connections(query: ConnectionQuery): { total: number; connections: readonly ConnectionView[] };
  presence(channel: string): readonly PresenceEntry[];
  /** Channels with streams and how many: sorted by name, those that start with `prefix`. */
  joinedChannels(prefix: string): ReadonlyMap<string, number>;
  totals(): StreamTotals;
  /** Ends a stream with reason `kicked`; false when there is none. */
  kick(connectionId: string): boolean;
}
