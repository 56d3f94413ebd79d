/**
 * Views of the open streams, for publishers' answers and for operators. A process knows its own streams
 * (`LocalDirectory`); an engine that connects nodes answers for all of them (`Directory`, `Audience`, `UserQuota`).
 * No message waits for any of these on its way to a stream.
 */
import type { Message, Receipt } from './message.ts';
import type { StreamCredential } from './stream-credential.ts';

/** How many streams a stored message reaches. */
export interface Audience {
  /**
   * Distinct streams, on all nodes, that have joined any of the message's channels and are not excluded. Exact while
   * no stream comes or goes and every node answers; a node that does not answer in time counts at most too much.
   */
  countStreams(receipt: Receipt, message: Message): number | Promise<number>;
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
  /** Channels with at least one stream; of several nodes the sum, in which a channel counts once per node. */
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

export interface ConnectionPage {
  /** How many match in all. */
  readonly total: number;
  /** The oldest matching ones, at most as many as asked. */
  readonly connections: readonly ConnectionView[];
}

/** Channels whose name starts with `prefix` and comes after `after`, in the order of `compareNames`. */
export interface JoinedQuery {
  readonly prefix: string;
  readonly after: string;
  readonly limit: number;
}

/** The streams of this process. */
export interface LocalDirectory {
  /** Distinct streams that have joined any of `channels`, without those of `exclude`. */
  countStreams(channels: readonly string[], exclude: readonly string[] | undefined): number;
  connections(query: ConnectionQuery): ConnectionPage;
  presence(channel: string): readonly PresenceEntry[];
  /** Channels with streams and how many: the first `limit`. */
  joinedChannels(query: JoinedQuery): ReadonlyMap<string, number>;
  /** Names of all channels with streams, in no order. */
  joinedNames(): Iterable<string>;
  totals(): StreamTotals;
  find(connectionId: string): ConnectionView | undefined;
  /** Ends a stream with reason `kicked`; false when there is none. */
  kick(connectionId: string): boolean;
  /** Has a stream go on with another credential of the same user. */
  renew(connectionId: string, credential: StreamCredential): Renewal;
}

/** `refused`: the stream is of somebody else, or was opened without a credential. */
export type Renewal = 'renewed' | 'refused' | 'not_found';

/** Told when streams have joined or left channels. */
export type OnMembership = (channels: readonly { readonly name: string }[]) => void;

export const VIEW_SCOPES = ['node', 'cluster'] as const;
/** Whose streams a view shows: of the node that is asked, or of all. */
export type ViewScope = (typeof VIEW_SCOPES)[number];

/** How many nodes have answered of how many that are alive. */
export interface NodeTally {
  readonly answered: number;
  readonly known: number;
}

/** A view of all nodes that have answered. */
export interface Gathered<T> {
  readonly view: T;
  readonly nodes: NodeTally;
  /** A node has left something out, because an answer may only be so large. */
  readonly isCut: boolean;
}

export interface Directory {
  /** Nodes that are alive, as this one sees them. */
  readonly liveNodes: number;
  connections(query: ConnectionQuery, scope: ViewScope): Promise<Gathered<ConnectionPage>>;
  presence(channel: string, scope: ViewScope): Promise<Gathered<readonly PresenceEntry[]>>;
  joinedChannels(query: JoinedQuery, scope: ViewScope): Promise<Gathered<ReadonlyMap<string, number>>>;
  totals(scope: ViewScope): Promise<Gathered<StreamTotals>>;
  // The following reject with `engine_unavailable` when the stream's node cannot be asked.
  /** A stream, wherever it is. */
  find(connectionId: string): Promise<ConnectionView | undefined>;
  /** Ends a stream wherever it is. */
  kick(connectionId: string, scope: ViewScope): Promise<boolean>;
  /** See `LocalDirectory`. */
  renew(connectionId: string, credential: StreamCredential): Promise<Renewal>;
}

/** How many streams a user may have open on all nodes together. */
export interface UserQuota {
  /** False when the user has as many as may be; rejects when that cannot be known. Who got `true` must `release`. */
  reserve(userId: string): Promise<boolean>;
  release(userId: string): void;
}
