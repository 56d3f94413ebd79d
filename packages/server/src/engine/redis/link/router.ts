/**
 * Sends each call to the master that has its slot. Keeps the map of slots, follows failovers and moved slots, and
 * repeats what a server has refused because the slot was on its way. What may have been done is never repeated here:
 * only its caller knows whether that is safe.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { type Keys, SLOTS, slotOf } from '../log/keys.ts';
import type { Argument } from './connection.ts';
import { ConnectionError, ReplyError, type ServerAddress } from './connection.ts';
import { SCRIPTS, type ScriptName } from './scripts.ts';
import { Shard } from './shard.ts';
import { label, resolveTopology, type Topology, type TopologySettings } from './topology.ts';

export interface RouterOptions extends TopologySettings {
  readonly keys: Keys;
  readonly nodeId: string;
  readonly random: () => number;
  readonly onMessage: (name: string, message: Buffer) => void;
  readonly onReady: (shard: Shard) => void;
  readonly onDown: (shard: Shard, reason: Error) => void;
  readonly onHearing: (shard: Shard) => void;
  /** These names are heard no longer: they have to be subscribed where they are now. */
  readonly onMoved: (names: readonly string[]) => void;
}

export interface CallOptions {
  /** Strings of the reply come as bytes. */
  readonly asBytes?: boolean;
  /** Until when it is tried, as `performance.now()`. */
  readonly untilMs: number;
  /** Waits for replicas within the same time. */
  readonly replicas?: number;
}

export interface Answer {
  readonly reply: unknown;
  /** Replicas that have confirmed, where they were waited for. */
  readonly replicas: number;
  readonly shard: Shard;
}

const REFRESH_MS = { standalone: 0, sentinel: 2000, cluster: 5000 } as const;
/** Refusals after which the same call may succeed: nothing was done. */
const PASSING = new Set(['TRYAGAIN', 'CLUSTERDOWN', 'LOADING', 'MASTERDOWN', 'NOSCRIPT', 'BUSY']);
const RETRY_PAUSE_MS = 25;

export class Router {
  readonly #options: RouterOptions;
  readonly #shards = new Map<string, Shard>();
  /** Owner of each slot; one entry where there is one keyspace. */
  #owners: (Shard | undefined)[] = [];
  #epoch = 0;
  #refreshing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(options: RouterOptions) {
    this.#options = options;
  }

  get isCluster(): boolean {
    return this.#options.mode === 'cluster';
  }

  get shards(): readonly Shard[] {
    return [...this.#shards.values()];
  }

  /** The group of keys that may be used together: its slot in a cluster, else one for all. */
  groupOf(key: string): number {
    return this.isCluster ? slotOf(key) : 0;
  }

  ownerOf(group: number): Shard | undefined {
    return this.#owners[group];
  }

  /** Connects to all masters; rejects when that fails. */
  async open(): Promise<void> {
    this.#isStopped = false;
    this.#epoch = 0;
    const topology = await resolveTopology(this.#options);
    const fresh = this.#apply(topology);
    await Promise.all(fresh.map((shard) => shard.start()));
    const refreshMs = REFRESH_MS[this.#options.mode];
    if (refreshMs > 0) {
      this.#timer = setInterval(() => this.refresh(), refreshMs);
      this.#timer.unref();
    }
  }

  stop(): void {
    this.#isStopped = true;
    clearInterval(this.#timer);
    for (const shard of this.#shards.values()) shard.stop();
    this.#shards.clear();
  }

  /** Calls a script where `group` is. `argsFor` is asked again for every server that it is sent to. */
  async call(
    name: ScriptName,
    group: number,
    keys: readonly string[],
    argsFor: (shard: Shard) => readonly Argument[],
    options: CallOptions,
  ): Promise<Answer> {
    const script = SCRIPTS[name];
    let asked: Shard | undefined;
    for (;;) {
      const shard = asked ?? this.#owners[group];
      const isAsking = asked !== undefined;
      asked = undefined;
      if (shard === undefined) throw new ConnectionError(`no Redis server has slot ${group}`);
      try {
        const args = argsFor(shard);
        if (options.replicas === undefined) {
          const reply = await shard.script(script, keys, args, {
            asBytes: options.asBytes === true,
            isAsking,
          });
          return { reply, replicas: 0, shard };
        }
        const wait = { replicas: options.replicas, untilMs: options.untilMs, isAsking };
        return { ...(await shard.scriptReplicated(script, keys, args, wait)), shard };
      } catch (error) {
        if (!(error instanceof ReplyError)) throw error;
        const timeLeft = options.untilMs - performance.now();
        if (timeLeft < RETRY_PAUSE_MS) throw error;
        if (error.code === 'ASK') {
          asked = this.#shardAt(addressIn(error, shard));
          while (!asked.isReady && performance.now() < options.untilMs) await pause(RETRY_PAUSE_MS);
          continue;
        }
        const hasMoved = error.code === 'MOVED' || error.code === 'READONLY';
        if (!hasMoved && !PASSING.has(error.code)) throw error;
        const before = this.#owners[group];
        if (hasMoved) await this.refresh();
        if (this.#owners[group] === before) await pause(RETRY_PAUSE_MS * (0.5 + this.#options.random()));
      }
    }
  }

  /** Asks who the masters are. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #refresh(): Promise<void> {
    if (this.#options.mode === 'standalone' || this.#isStopped) return;
    try {
      const known = this.shards.filter((shard) => shard.isReady).map((shard) => shard.address);
      const topology = await resolveTopology(this.#options, known);
      if (this.#isStopped) return;
      for (const shard of this.#apply(topology)) shard.startAnyway();
    } catch {
      // It is asked again soon, and every call that needs a new answer fails by itself.
    }
  }

  /** Takes over a topology; returns the shards that are new and have to be started. */
  #apply({ masters, epoch }: Topology): Shard[] {
    // Somebody who was cut off tells of what was true before.
    if (epoch < this.#epoch) return [];
    this.#epoch = epoch;
    const fresh: Shard[] = [];
    const owners: (Shard | undefined)[] = Array.from({ length: this.isCluster ? SLOTS : 1 });
    const current = new Set<string>();
    for (const { address, ranges } of masters) {
      const name = label(address);
      current.add(name);
      let shard = this.#shards.get(name);
      if (shard === undefined) {
        shard = this.#createShard(address);
        fresh.push(shard);
      }
      if (!this.isCluster) owners[0] = shard;
      else for (const [from, to] of ranges) owners.fill(shard, from, to + 1);
    }
    this.#owners = owners;
    const moved: string[] = [];
    for (const [name, shard] of this.#shards) {
      const isGone = !current.has(name);
      const lost = [...shard.listener.names].filter(
        (n) => !shard.isProbe(n) && (isGone || !this.#hears(shard, n)),
      );
      if (lost.length > 0) {
        if (!isGone) shard.listener.unsubscribe(lost);
        moved.push(...lost);
      }
      if (isGone) {
        this.#shards.delete(name);
        shard.stop();
      }
    }
    if (moved.length > 0) this.#options.onMoved(moved);
    return fresh;
  }

  #hears(shard: Shard, name: string): boolean {
    return this.#owners[this.groupOf(name)] === shard;
  }

  #shardAt(address: ServerAddress): Shard {
    const known = this.#shards.get(label(address));
    if (known !== undefined) return known;
    // A server that is just taking its first slots.
    const shard = this.#createShard(address);
    shard.startAnyway();
    return shard;
  }

  #createShard(address: ServerAddress): Shard {
    const { keys, nodeId, connection, random } = this.#options;
    let tag = nodeId;
    const shard: Shard = new Shard({
      address,
      connection,
      keys,
      nodeId,
      random,
      probeTag: () => {
        for (let i = 0; this.isCluster && i < SLOTS && !this.#hears(shard, keys.probeBus(nodeId, tag)); i++) {
          tag = `${nodeId}${i}`;
        }
        return tag;
      },
      onMessage: this.#options.onMessage,
      onReady: (ready) => this.#options.onReady(ready),
      onDown: (down, reason) => {
        this.#options.onDown(down, reason);
        void this.refresh();
      },
      onHearing: (hearing) => this.#options.onHearing(hearing),
      onMoved: (_shard, names) => {
        void this.refresh().then(() => this.#options.onMoved(names));
      },
    });
    this.#shards.set(shard.label, shard);
    return shard;
  }
}

/** `MOVED 3999 127.0.0.1:6381`; a server that does not know its host names only the port. */
function addressIn(error: ReplyError, from: Shard): ServerAddress {
  const target = error.message.split(' ')[2] ?? '';
  const colon = target.lastIndexOf(':');
  return { host: target.slice(0, colon) || from.address.host, port: Number(target.slice(colon + 1)) };
}
