/**
 * Which nodes are alive. Every node sends a heartbeat each second, by the clock of the Redis server. A node that has
 * been silent for some seconds is dead for all others. The result of a heartbeat holds until the next one.
 *
 * After an outage of Redis, or of this node, the silence of others means nothing: until they have had the time for a
 * heartbeat, nodes that were alive before count as alive. `onReturned` tells a node that others may have declared it
 * dead.
 */

/** Result of `lua/fleet/heartbeat.lua`. */
export type HeartbeatReply = readonly [sinceLastMs: number, alive: string, silent: string];

export interface LiveNodesOptions {
  readonly nodeId: string;
  readonly heartbeat: (aliveMs: number, forgottenMs: number) => Promise<HeartbeatReply>;
  readonly leave: () => Promise<unknown>;
  /** What this node has written for others may have been removed. */
  readonly onReturned: () => void;
  /** A clock that never goes back, ms. */
  readonly now: () => number;
}

const HEARTBEAT_MS = 1000;
const ALIVE_MS = 4000;
const FORGOTTEN_MS = 60_000;
/** A longer time between two successful heartbeats of this node was an outage. */
const OUTAGE_MS = 2500;
/** A node that has not appeared in any list for so long is not a new one. */
const GONE_MS = 10_000;
const MAX_UNKNOWN = 10_000;

export class LiveNodes {
  readonly #options: LiveNodesOptions;
  #alive: ReadonlySet<string>;
  #silent: ReadonlySet<string> = new Set();
  /** Nodes that were alive before an outage, and count as alive until `#beforeUntilMs`. */
  #before: ReadonlySet<string> = new Set();
  #beforeUntilMs = 0;
  #seenAtMs: number | undefined;
  /** Nodes in no list that somebody has asked about, with the time of the first question. */
  readonly #unknown = new Map<string, number>();
  #refreshing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LiveNodesOptions) {
    this.#options = options;
    this.#alive = new Set([options.nodeId]);
  }

  /** Includes this node. */
  get alive(): ReadonlySet<string> {
    return this.#alive;
  }

  /** Nodes that have died within the last minute. */
  get silent(): ReadonlySet<string> {
    return this.#silent;
  }

  isAlive(nodeId: string): boolean {
    return this.#alive.has(nodeId);
  }

  /** Tells whether a node has been dead for so long that what it left may be removed. */
  isGone(nodeId: string): boolean {
    if (this.#alive.has(nodeId) || this.#silent.has(nodeId)) return false;
    const sinceMs = this.#unknown.get(nodeId);
    if (sinceMs !== undefined) return this.#seenAtMs !== undefined && this.#seenAtMs - sinceMs > GONE_MS;
    if (this.#unknown.size >= MAX_UNKNOWN) this.#unknown.clear();
    this.#unknown.set(nodeId, this.#options.now());
    return false;
  }

  /** Rejects when the first heartbeat fails. */
  async join(): Promise<void> {
    await this.refresh();
    this.#timer = setInterval(() => {
      // The next heartbeat comes soon.
      this.refresh().catch(() => undefined);
    }, HEARTBEAT_MS);
    this.#timer.unref();
  }

  async leave(): Promise<void> {
    clearInterval(this.#timer);
    // A heartbeat under way would bring this node back.
    await this.#refreshing?.catch(() => undefined);
    await this.#options.leave();
  }

  /** Sends a heartbeat now, unless one is under way. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#heartbeat().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #heartbeat(): Promise<void> {
    const { heartbeat, now, onReturned } = this.#options;
    const [sinceLastMs, alive, silent] = await heartbeat(ALIVE_MS, FORGOTTEN_MS);
    const nowMs = now();
    const lastSeenAtMs = this.#seenAtMs;
    this.#seenAtMs = nowMs;
    if (lastSeenAtMs !== undefined && nowMs - lastSeenAtMs > OUTAGE_MS) {
      this.#before = this.#alive;
      this.#beforeUntilMs = nowMs + ALIVE_MS;
    }
    const seen = new Set(wordsOf(alive));
    const quiet = new Set(wordsOf(silent));
    if (nowMs < this.#beforeUntilMs) {
      for (const id of this.#before) {
        seen.add(id);
        quiet.delete(id);
      }
    }
    this.#alive = seen;
    this.#silent = quiet;
    for (const id of this.#unknown.keys()) if (seen.has(id) || quiet.has(id)) this.#unknown.delete(id);
    const wasTakenForDead = sinceLastMs < 0 || sinceLastMs > ALIVE_MS;
    if (lastSeenAtMs !== undefined && wasTakenForDead) onReturned();
  }
}

function wordsOf(text: string): string[] {
  return text === '' ? [] : text.split(' ');
}
