/**
 * Which masters there are and which slots they have. Follows failovers and moved slots: asks from time to time,
 * whenever a server is lost, and whenever a server says that it does not own a slot.
 */

import { labelOf, type ServerAddress } from '../server/server-address.ts';
import { Shard, type ShardEvents } from '../server/shard.ts';
import { hashSlotOf, SLOTS } from '../server/slots.ts';
import type { RedisSettings } from './redis-settings.ts';
import { resolveTopology, type Topology } from './topology.ts';

export interface ShardMapOptions {
  readonly settings: RedisSettings;
  readonly nodeId: string;
  /** A bus channel of this node's for its probes; `tag` chooses the slot. */
  readonly probeName: (tag: string) => string;
  readonly random: () => number;
  readonly events: ShardEvents;
}

const REFRESH_MS = { standalone: 0, sentinel: 2000, cluster: 5000 } as const;

export class ShardMap {
  readonly #options: ShardMapOptions;
  readonly #shards = new Map<string, Shard>();
  /** Owner of each slot; one entry without a cluster. */
  #owners: (Shard | undefined)[] = [];
  #version = 0;
  #refreshing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(options: ShardMapOptions) {
    this.#options = options;
  }

  get isCluster(): boolean {
    return this.#options.settings.mode === 'cluster';
  }

  get shards(): readonly Shard[] {
    return [...this.#shards.values()];
  }

  /** The key's hash slot. Without a cluster all keys may be used together, as if they had slot 0. */
  slotOf(key: string): number {
    return this.isCluster ? hashSlotOf(key) : 0;
  }

  ownerOf(slot: number): Shard | undefined {
    return this.#owners[slot];
  }

  /** Connects to all masters; rejects when that fails. */
  async open(): Promise<void> {
    const { settings } = this.#options;
    this.#isStopped = false;
    this.#version = 0;
    const fresh = this.#apply(await resolveTopology(settings));
    await Promise.all(fresh.map((shard) => shard.start()));
    const refreshMs = REFRESH_MS[settings.mode];
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

  /** Asks who the masters are. Never rejects. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  /** The server at an address, also one that is only about to take its first slots. */
  shardAt(address: ServerAddress): Shard {
    const known = this.#shards.get(labelOf(address));
    if (known !== undefined) return known;
    const shard = this.#createShard(address);
    shard.startAnyway();
    return shard;
  }

  async #refresh(): Promise<void> {
    const { settings } = this.#options;
    if (settings.mode === 'standalone' || this.#isStopped) return;
    try {
      const known = this.shards.filter((shard) => shard.isReady).map((shard) => shard.address);
      const topology = await resolveTopology(settings, known);
      if (this.#isStopped) return;
      for (const shard of this.#apply(topology)) shard.startAnyway();
    } catch {
      // It is asked again soon, and every call that needs a new answer fails by itself.
    }
  }

  /** Takes over a topology. Returns the shards that are new and have to be started. */
  #apply({ masters, version }: Topology): Shard[] {
    // A server that was cut off still tells of what was true before.
    if (version < this.#version) return [];
    this.#version = version;
    const fresh: Shard[] = [];
    const owners: (Shard | undefined)[] = Array.from({ length: this.isCluster ? SLOTS : 1 });
    const current = new Set<string>();
    for (const { address, ranges } of masters) {
      const label = labelOf(address);
      current.add(label);
      let shard = this.#shards.get(label);
      if (shard === undefined) {
        shard = this.#createShard(address);
        fresh.push(shard);
      }
      if (!this.isCluster) owners[0] = shard;
      else for (const [from, to] of ranges) owners.fill(shard, from, to + 1);
    }
    this.#owners = owners;
    const moved = this.#dropLost(current);
    if (moved.length > 0) this.#options.events.onMoved(moved);
    return fresh;
  }

  /** Stops shards that are no masters any more; returns the bus channels that have to be subscribed elsewhere. */
  #dropLost(current: ReadonlySet<string>): string[] {
    const moved: string[] = [];
    for (const [label, shard] of this.#shards) {
      const isGone = !current.has(label);
      const lost = [...shard.listener.names].filter(
        (name) => !shard.isProbe(name) && (isGone || !this.#owns(shard, name)),
      );
      if (lost.length > 0) {
        if (!isGone) shard.listener.unsubscribe(lost);
        moved.push(...lost);
      }
      if (isGone) {
        this.#shards.delete(label);
        shard.stop();
      }
    }
    return moved;
  }

  #owns(shard: Shard, name: string): boolean {
    return this.#owners[this.slotOf(name)] === shard;
  }

  #createShard(address: ServerAddress): Shard {
    const { settings, nodeId, probeName, random, events } = this.#options;
    let tag = nodeId;
    const shard: Shard = new Shard({
      address,
      access: settings,
      nodeId,
      random,
      probeName: () => {
        for (let i = 0; this.isCluster && i < SLOTS && !this.#owns(shard, probeName(tag)); i++) {
          tag = `${nodeId}${i}`;
        }
        return probeName(tag);
      },
      events: {
        ...events,
        onDown: (down, reason) => {
          events.onDown(down, reason);
          void this.refresh();
        },
        onMoved: (names) => void this.refresh().then(() => events.onMoved(names)),
      },
    });
    this.#shards.set(shard.label, shard);
    return shard;
  }
}
