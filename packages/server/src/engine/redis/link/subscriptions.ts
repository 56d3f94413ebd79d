/**
 * Subscriptions of this node on the bus, each at the server that has its slot. They are made again wherever a slot
 * moves. Their subscribers are told whenever messages may have been lost.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Shard } from '../server/shard.ts';
import type { ShardMap } from './shard-map.ts';

export interface Subscriber {
  onMessage(name: string, message: Buffer): void;
  /** Messages on these names may have been lost. */
  onMissed(names: readonly string[]): void;
}

const MOVED_PAUSE_MS = 50;
const RETRY_PAUSE_MS = 250;

export class Subscriptions {
  readonly #map: ShardMap;
  /** How long `subscribe` tries, ms. */
  readonly #timeoutMs: number;
  readonly #subscribers = new Map<string, Subscriber>();
  #isStopped = false;

  constructor(map: ShardMap, timeoutMs: number) {
    this.#map = map;
    this.#timeoutMs = timeoutMs;
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Resolves when whatever is published from now on will be received. After a rejection the names are still to be unsubscribed. */
  async subscribe(names: readonly string[], subscriber: Subscriber): Promise<void> {
    for (const name of names) this.#subscribers.set(name, subscriber);
    await this.#subscribe(names);
  }

  unsubscribe(names: readonly string[]): void {
    for (const name of names) this.#subscribers.delete(name);
    this.#leave(names);
  }

  /** Leaves and subscribes names again that are not received although they are subscribed. */
  async renew(names: readonly string[]): Promise<void> {
    this.#leave(names);
    await this.restore(names);
  }

  /** Subscribes names again that are subscribed nowhere; tries until it works. */
  async restore(names: readonly string[]): Promise<void> {
    for (;;) {
      const wanted = names.filter((name) => this.#subscribers.has(name));
      if (this.#isStopped || wanted.length === 0) return;
      try {
        await this.#subscribe(wanted);
        this.missed(wanted);
        return;
      } catch {
        await pause(RETRY_PAUSE_MS, undefined, { ref: false });
      }
    }
  }

  receive(name: string, message: Buffer): void {
    this.#subscribers.get(name)?.onMessage(name, message);
  }

  missed(names: Iterable<string>): void {
    for (const [subscriber, theirs] of Map.groupBy(names, (name) => this.#subscribers.get(name))) {
      subscriber?.onMissed(theirs);
    }
  }

  async #subscribe(names: readonly string[]): Promise<void> {
    const untilMs = performance.now() + this.#timeoutMs;
    let left = names;
    for (;;) {
      const moved: string[] = [];
      const subscribeAt = async (shard: Shard | undefined, some: readonly string[]): Promise<void> => {
        try {
          if (shard === undefined) moved.push(...some);
          else await shard.listener.subscribe(some);
        } catch (error) {
          if (performance.now() > untilMs || this.#isStopped) throw error;
          moved.push(...some);
        }
      };
      const byShard = Map.groupBy(left, (name) => this.#map.ownerOf(this.#map.slotOf(name)));
      await Promise.all([...byShard].map(([shard, some]) => subscribeAt(shard, some)));
      if (moved.length === 0) return;
      left = moved;
      await this.#map.refresh();
      await pause(MOVED_PAUSE_MS);
    }
  }

  #leave(names: readonly string[]): void {
    for (const { listener } of this.#map.shards) {
      const here = names.filter((name) => listener.names.has(name));
      if (here.length > 0) listener.unsubscribe(here);
    }
  }
}
