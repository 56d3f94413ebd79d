/** Merges the views of several nodes: values in, values out. */
import { compareNames } from '../../../core/compare-names.ts';
import type {
  ConnectionPage,
  ConnectionView,
  JoinedQuery,
  PresenceEntry,
  StreamTotals,
} from '../../../core/directory.ts';

/** A node's answer, as far as it fits in a letter. */
export interface Cut<T> {
  readonly view: T;
  readonly isCut: boolean;
}

/** Returns as many of `items` as fit in `maxBytes` of JSON, and at least the first. */
export function cutToFit<T>(items: readonly T[], maxBytes: number): Cut<readonly T[]> {
  let bytes = 0;
  for (let i = 0; i < items.length; i++) {
    bytes += Buffer.byteLength(JSON.stringify(items[i])) + 1;
    if (bytes > maxBytes && i > 0) return { view: items.slice(0, i), isCut: true };
  }
  return { view: items, isCut: false };
}

/**
 * Merges pages into the oldest `limit` connections of all. What a node has left out is younger than what it has sent.
 * So if the pages are in the order of age (`isOrdered`), nothing younger than that is shown.
 */
export function mergePages(
  pages: readonly Cut<ConnectionPage>[],
  { limit, isOrdered }: { limit: number; isOrdered: boolean },
): ConnectionPage {
  const horizonMs = isOrdered ? Math.min(...pages.map(horizonOf)) : Number.POSITIVE_INFINITY;
  const connections = pages
    .flatMap(({ view }) => view.connections)
    .filter(({ connectedAtMs }) => connectedAtMs <= horizonMs)
    .toSorted(compareAge)
    .slice(0, limit);
  return { total: pages.reduce((sum, { view }) => sum + view.total, 0), connections };
}

function horizonOf({ view, isCut }: Cut<ConnectionPage>): number {
  return (isCut ? view.connections.at(-1)?.connectedAtMs : undefined) ?? Number.POSITIVE_INFINITY;
}

function compareAge(a: ConnectionView, b: ConnectionView): number {
  return a.connectedAtMs - b.connectedAtMs || compareNames(a.connectionId, b.connectionId);
}

/** Merges lists so that each user is in it once, in the order in which they joined. */
export function mergePresence(lists: readonly (readonly PresenceEntry[])[]): PresenceEntry[] {
  const byUser = new Map<string | undefined, PresenceEntry>();
  for (const { userId, connections, sinceMs } of lists.flat()) {
    const known = byUser.get(userId);
    byUser.set(userId, {
      userId,
      connections: connections + (known?.connections ?? 0),
      sinceMs: Math.min(sinceMs, known?.sinceMs ?? sinceMs),
    });
  }
  return [...byUser.values()].toSorted((a, b) => a.sinceMs - b.sinceMs);
}

/** Merges lists into the first `limit` by name. Each list must hold at least its own first `limit`. */
export function mergeJoined(
  lists: readonly Iterable<readonly [string, number]>[],
  { limit }: Pick<JoinedQuery, 'limit'>,
): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const list of lists) {
    for (const [name, count] of list) counts.set(name, count + (counts.get(name) ?? 0));
  }
  return new Map([...counts].toSorted(([a], [b]) => compareNames(a, b)).slice(0, limit));
}

export function mergeTotals(totals: readonly StreamTotals[]): StreamTotals {
  const sum = (read: (each: StreamTotals) => number): number =>
    totals.reduce((total, each) => total + read(each), 0);
  const connections = sum((each) => each.connections);
  const queued = sum((each) => each.averageQueueSize * each.connections);
  const byUser = new Map<string, number>();
  for (const { connectionsByUser } of totals) {
    for (const [userId, count] of Object.entries(connectionsByUser)) {
      byUser.set(userId, count + (byUser.get(userId) ?? 0));
    }
  }
  return {
    connections,
    liveConnections: sum((each) => each.liveConnections),
    connectionsCreated: sum((each) => each.connectionsCreated),
    connectionsClosed: sum((each) => each.connectionsClosed),
    messagesSent: sum((each) => each.messagesSent),
    messagesFailed: sum((each) => each.messagesFailed),
    channels: sum((each) => each.channels),
    averageQueueSize: connections === 0 ? 0 : queued / connections,
    connectionsByUser: Object.fromEntries(byUser),
  };
}
