/**
 * The open streams of this process: found by connection id, counted by user and address, shown to operators. On the way
 * of a message only its audience is counted here.
 */

import { isTransientChannel } from '@message-push/protocol';
import { compareNames } from '../core/compare-names.ts';
import type {
  ConnectionPage,
  ConnectionQuery,
  ConnectionView,
  JoinedQuery,
  LocalDirectory,
  OnMembership,
  PresenceEntry,
  Renewal,
  StreamTotals,
} from '../core/directory.ts';
import type { StreamCredential } from '../core/stream-credential.ts';
import type { Hub } from '../hub/hub.ts';
import type { StreamCounters } from '../observe/metrics/counters.ts';
import type { Session } from './session.ts';

class Tally {
  readonly #counts = new Map<string, number>();

  of(key: string): number {
    return this.#counts.get(key) ?? 0;
  }

  change(key: string, by: 1 | -1): void {
    const count = this.of(key) + by;
    if (count === 0) this.#counts.delete(key);
    else this.#counts.set(key, count);
  }

  toRecord(): Record<string, number> {
    return Object.fromEntries(this.#counts);
  }
}

export interface StreamRegistryOptions {
  readonly hub: Hub;
  readonly counters: StreamCounters;
  readonly kick: (session: Session) => void;
  /** Carries a session on with another credential. */
  readonly renew: (session: Session, credential: StreamCredential) => void;
  readonly onMembership?: OnMembership | undefined;
}

export class StreamRegistry implements LocalDirectory {
  readonly #hub: Hub;
  readonly #counters: StreamCounters;
  readonly #kick: (session: Session) => void;
  readonly #renew: StreamRegistryOptions['renew'];
  readonly #onMembership: OnMembership | undefined;
  readonly #sessions = new Map<string, Session>();
  readonly #byUser = new Tally();
  readonly #byAddress = new Tally();
  #created = 0;
  #closed = 0;

  constructor(options: StreamRegistryOptions) {
    this.#hub = options.hub;
    this.#counters = options.counters;
    this.#kick = options.kick;
    this.#renew = options.renew;
    this.#onMembership = options.onMembership;
  }

  get size(): number {
    return this.#sessions.size;
  }

  add(session: Session): void {
    this.#sessions.set(session.connectionId, session);
    if (session.userId !== undefined) this.#byUser.change(session.userId, 1);
    this.#byAddress.change(session.clientIp, 1);
    this.#created++;
    this.#onMembership?.(session.channels);
  }

  remove(session: Session): void {
    if (!this.#sessions.delete(session.connectionId)) return;
    if (session.userId !== undefined) this.#byUser.change(session.userId, -1);
    this.#byAddress.change(session.clientIp, -1);
    this.#closed++;
    this.#onMembership?.(session.channels);
  }

  sessionOf(connectionId: string): Session | undefined {
    return this.#sessions.get(connectionId);
  }

  find(connectionId: string): ConnectionView | undefined {
    const session = this.#sessions.get(connectionId);
    return session === undefined ? undefined : viewOf(session);
  }

  all(): IterableIterator<Session> {
    return this.#sessions.values();
  }

  countOfUser(userId: string): number {
    return this.#byUser.of(userId);
  }

  countOfAddress(address: string): number {
    return this.#byAddress.of(address);
  }

  countStreams(channels: readonly string[], exclude: readonly string[] | undefined): number {
    const only = channels[0];
    if (channels.length === 1 && only !== undefined && exclude === undefined && !isTransientChannel(only)) {
      return this.#hub.channel(only)?.subscribers.length ?? 0;
    }
    const reached = new Set<string>();
    for (const name of channels) {
      if (isTransientChannel(name)) {
        const id = name.slice(name.indexOf(':') + 1);
        if (this.#sessions.has(id)) reached.add(id);
      } else {
        for (const { connectionId } of this.#hub.channel(name)?.subscribers ?? []) reached.add(connectionId);
      }
    }
    for (const id of exclude ?? []) reached.delete(id);
    return reached.size;
  }

  connections({ userId, channel, limit }: ConnectionQuery): ConnectionPage {
    const connections: ConnectionView[] = [];
    let total = 0;
    // A Map keeps the order of insertion: the oldest come first.
    for (const session of channel === undefined ? this.#sessions.values() : this.#joined(channel)) {
      if (userId !== undefined && session.userId !== userId) continue;
      total++;
      if (connections.length < limit) connections.push(viewOf(session));
    }
    return { total, connections };
  }

  presence(channel: string): readonly PresenceEntry[] {
    const byUser = new Map<string | undefined, { connections: number; sinceMs: number }>();
    for (const { userId, connectedAtMs } of this.#joined(channel)) {
      const entry = byUser.get(userId);
      if (entry === undefined) byUser.set(userId, { connections: 1, sinceMs: connectedAtMs });
      else {
        entry.connections++;
        entry.sinceMs = Math.min(entry.sinceMs, connectedAtMs);
      }
    }
    return [...byUser].map(([userId, entry]) => ({ userId, ...entry }));
  }

  joinedChannels({ prefix, after, limit }: JoinedQuery): ReadonlyMap<string, number> {
    const found: [string, number][] = [];
    for (const { name, subscribers } of this.#hub.joinedChannels()) {
      if (name.startsWith(prefix) && compareNames(name, after) > 0) found.push([name, subscribers.length]);
    }
    return new Map(found.sort(([a], [b]) => compareNames(a, b)).slice(0, limit));
  }

  *joinedNames(): Generator<string> {
    for (const { name } of this.#hub.joinedChannels()) yield name;
  }

  totals(): StreamTotals {
    let live = 0;
    let queued = 0;
    for (const session of this.#sessions.values()) {
      if (session.isLive) live++;
      queued += session.queueSize;
    }
    const connections = this.#sessions.size;
    return {
      connections,
      liveConnections: live,
      connectionsCreated: this.#created,
      connectionsClosed: this.#closed,
      messagesSent: this.#counters.deliveries,
      messagesFailed: this.#counters.missedPublications,
      channels: this.#hub.channelCount,
      averageQueueSize: connections === 0 ? 0 : queued / connections,
      connectionsByUser: this.#byUser.toRecord(),
    };
  }

  kick(connectionId: string): boolean {
    const session = this.#sessions.get(connectionId);
    if (session === undefined) return false;
    this.#kick(session);
    return true;
  }

  renew(connectionId: string, credential: StreamCredential): Renewal {
    const session = this.#sessions.get(connectionId);
    if (session === undefined || session.isEnded) return 'not_found';
    // Guests cannot be told apart. The caller checks what the credential may join.
    if (session.credential === undefined || session.credential.userId !== credential.userId) return 'refused';
    this.#renew(session, credential);
    return 'renewed';
  }

  *#joined(channel: string): Generator<Session> {
    if (isTransientChannel(channel)) {
      const session = this.#sessions.get(channel.slice(channel.indexOf(':') + 1));
      if (session !== undefined) yield session;
      return;
    }
    for (const { connectionId } of this.#hub.channel(channel)?.subscribers ?? []) {
      const session = this.#sessions.get(connectionId);
      if (session !== undefined) yield session;
    }
  }
}

function viewOf(session: Session): ConnectionView {
  return {
    connectionId: session.connectionId,
    userId: session.userId,
    sessionId: session.sessionId,
    channels: [...session.channels.map((c) => c.name), `connection:${session.connectionId}`],
    connectedAtMs: session.connectedAtMs,
    lastHeartbeatMs: session.lastHeartbeatMs,
    clientIp: session.clientIp,
    queueSize: session.queueSize,
    unsentBytes: session.outbox.unsentBytes,
    state: session.isLive ? 'live' : 'catching_up',
  };
}
