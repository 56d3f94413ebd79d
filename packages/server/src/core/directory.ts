/**
 * Views of the open streams, for the answers to publishers and for operators. A process knows its own streams
 * (`LocalDirectory`); an engine that connects nodes answers for the streams of all nodes (`Directory`, `Audience`,
 * `UserQuota`). No message waits for any of these on its way to a stream.
 */
import type { Message, Receipt } from './message.ts';
import type { StreamCredential } from './stream-credential.ts';

/** Counts the streams that a stored message reaches. */
export interface Audience {
  /**
   * The number of distinct streams, on all nodes, that have joined any of the message's channels and are not excluded.
   * It is exact as long as no stream comes or goes and every node answers. A node that does not answer in time may make
   * it too high, never too low.
   */
  countStreams(receipt: Receipt, message: Message): number | Promise<number>;
}

export interface ConnectionView {
  readonly connectionId: string;
  readonly userId: string | undefined;
  readonly sessionId: string | undefined;
  readonly channels: readonly string[];
  readonly connectedAtMs: number;
  /** When the last heartbeat was sent, or the time of connecting before the first. */
  readonly lastHeartbeatMs: number;
  readonly clientIp: string;
  /** Number of publications that are not yet handed to the socket. */
  readonly queueSize: number;
  /** Bytes that were handed to the socket and that the peer has not taken. */
  readonly unsentBytes: number;
  readonly state: 'live' | 'catching_up';
}

export interface StreamTotals {
  readonly connections: number;
  /** Connections that are live, which means not catching up. */
  readonly liveConnections: number;
  readonly connectionsCreated: number;
  readonly connectionsClosed: number;
  /** Publications written, summed over streams. */
  readonly messagesSent: number;
  /** Publications lost to a gap, summed over streams. */
  readonly messagesFailed: number;
  /** Number of channels with at least one stream. In a sum over nodes a channel counts once per node. */
  readonly channels: number;
  readonly averageQueueSize: number;
  readonly connectionsByUser: Readonly<Record<string, number>>;
}

export interface PresenceEntry {
  readonly userId: string | undefined;
  readonly connections: number;
  /** When the first of these connections joined, in milliseconds since 1970. */
  readonly sinceMs: number;
}

export interface ConnectionQuery {
  readonly userId?: string | undefined;
  readonly channel?: string | undefined;
  readonly limit: number;
}

export interface ConnectionPage {
  /** Number of all matching connections. */
  readonly total: number;
  /** The oldest matching connections, at most `limit`. */
  readonly connections: readonly ConnectionView[];
}

/** Asks for channels whose name starts with `prefix` and comes after `after`, in the order of `compareNames`. */
export interface JoinedQuery {
  readonly prefix: string;
  readonly after: string;
  readonly limit: number;
}

/** The streams of this process. */
export interface LocalDirectory {
  /** The number of distinct streams that have joined any of `channels`, without the connections in `exclude`. */
  countStreams(channels: readonly string[], exclude: readonly string[] | undefined): number;
  connections(query: ConnectionQuery): ConnectionPage;
  presence(channel: string): readonly PresenceEntry[];
  /** The first `limit` channels with streams, and the number of their streams. */
  joinedChannels(query: JoinedQuery): ReadonlyMap<string, number>;
  /** The names of all channels with streams, in no particular order. */
  joinedNames(): Iterable<string>;
  totals(): StreamTotals;
  find(connectionId: string): ConnectionView | undefined;
  /** Ends a stream with reason `kicked`. False when there is no such stream. */
  kick(connectionId: string): boolean;
  /** Carries a stream on with another credential of the same user. */
  renew(connectionId: string, credential: StreamCredential): Renewal;
}

/** `refused` when the stream belongs to another user, or was opened without a credential. */
export type Renewal = 'renewed' | 'refused' | 'not_found';

/** Called when streams have joined or left channels. */
export type OnMembership = (channels: readonly { readonly name: string }[]) => void;

export const VIEW_SCOPES = ['node', 'cluster'] as const;
/** Whose streams a view shows: those of the node that is asked, or those of all nodes. */
export type ViewScope = (typeof VIEW_SCOPES)[number];

/** How complete a view is. */
export interface NodeTally {
  /** Number of nodes that have answered. */
  readonly answered: number;
  /** Number of nodes that are alive. */
  readonly known: number;
}

/** A view of all nodes that have answered. */
export interface Gathered<T> {
  readonly view: T;
  readonly nodes: NodeTally;
  /** True when a node has left something out because its answer would have been too large. */
  readonly isCut: boolean;
}

/** The streams of all nodes. */
export interface Directory {
  /** Number of nodes that this node takes to be alive, itself included. */
  readonly liveNodes: number;
  connections(query: ConnectionQuery, scope: ViewScope): Promise<Gathered<ConnectionPage>>;
  presence(channel: string, scope: ViewScope): Promise<Gathered<readonly PresenceEntry[]>>;
  joinedChannels(query: JoinedQuery, scope: ViewScope): Promise<Gathered<ReadonlyMap<string, number>>>;
  totals(scope: ViewScope): Promise<Gathered<StreamTotals>>;
  // The following reject with `engine_unavailable` when the stream's node cannot be asked.
  /** Finds a stream on any node. */
  find(connectionId: string): Promise<ConnectionView | undefined>;
  /** Ends a stream on any node, or on this one only. */
  kick(connectionId: string, scope: ViewScope): Promise<boolean>;
  /** See `LocalDirectory`. */
  renew(connectionId: string, credential: StreamCredential): Promise<Renewal>;
}

/** Limits how many streams a user may have open on all nodes together. */
export interface UserQuota {
  /**
   * Resolves to false when the user has as many streams as they may have. Rejects when that cannot be known. Every
   * `true` must be followed by one `release`.
   */
  reserve(userId: string): Promise<boolean>;
  release(userId: string): void;
}
