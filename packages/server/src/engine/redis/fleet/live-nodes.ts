/**
 * Which nodes are alive. Every node says so each second, by the clock of the Redis server; who has been silent for
 * some seconds is dead for all others. What a beat brought is kept until the next one.
 *
 * When Redis was away, or this node, the silence of others says nothing: until they have had the time for a beat,
 * those that were alive before count as alive. A node that others may have taken for dead is told so.
 */

/** What `lua/beat.lua` returns. */
export type BeatReply = readonly [sinceLastMs: number, alive: string, silent: string];

export interface LiveNodesOptions {
  readonly nodeId: string;
  readonly beat: (aliveMs: number, forgottenMs: number) => Promise<BeatReply>;
  readonly leave: () => Promise<unknown>;
  /** What this node has noted for others may have been removed. */
  readonly onReturned: () => void;
  /** A clock that never goes back, ms. */
  readonly now: () => number;
}

const BEAT_MS = 1000;
const ALIVE_MS = 4000;
const FORGOTTEN_MS = 60_000;
/** Between two beats that this node has got through: more than this was an outage. */
const OUTAGE_MS = 2500;
/** A node that is in nobody's list, and has not appeared there for so long, is no new one. */
const GONE_MS = 10_000;
const MAX_UNKNOWN = 10_000;

export class LiveNodes {
  readonly #options: LiveNodesOptions;
  #alive: ReadonlySet<string>;
  #silent: ReadonlySet<string> = new Set();
  /** Alive before an outage, and counted until this time. */
  #before: ReadonlySet<string> = new Set();
  #beforeUntilMs = 0;
  #seenAtMs: number | undefined;
  /** Nodes that somebody has asked for and that are in no list, with the time of the first question. */
  readonly #unknown = new Map<string, number>();
  #beating: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LiveNodesOptions) {
    this.#options = options;
    this.#alive = new Set([options.nodeId]);
  }

  /** This node among them. */
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

  /** It is dead for so long that what it left may be removed. */
  isGone(nodeId: string): boolean {
    if (this.#alive.has(nodeId) || this.#silent.has(nodeId)) return false;
    const sinceMs = this.#unknown.get(nodeId);
    if (sinceMs !== undefined) return this.#seenAtMs !== undefined && this.#seenAtMs - sinceMs > GONE_MS;
    if (this.#unknown.size >= MAX_UNKNOWN) this.#unknown.clear();
    this.#unknown.set(nodeId, this.#options.now());
    return false;
  }

  /** Rejects when the first beat cannot be said. */
  async join(): Promise<void> {
    await this.refresh();
    this.#timer = setInterval(() => {
      // The next beat is soon.
      this.refresh().catch(() => undefined);
    }, BEAT_MS);
    this.#timer.unref();
  }

  async leave(): Promise<void> {
    clearInterval(this.#timer);
    // A beat under way would bring this node back.
    await this.#beating?.catch(() => undefined);
    await this.#options.leave();
  }

  /** A beat now, unless one is under way. */
  refresh(): Promise<void> {
    this.#beating ??= this.#beat().finally(() => {
      this.#beating = undefined;
    });
    return this.#beating;
  }

  async #beat(): Promise<void> {
    const { beat, now, onReturned } = this.#options;
    const [sinceLastMs, alive, silent] = await beat(ALIVE_MS, FORGOTTEN_MS);
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
