/**
 * This node's link to Redis: the one object that the other folders of the engine use. It opens patiently, calls
 * scripts where their slot is, and keeps subscriptions alive.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Argument } from '../server/connection.ts';
import type { ScriptName } from '../server/scripts.ts';
import type { Shard } from '../server/shard.ts';
import type { RedisSettings } from './redis-settings.ts';
import { type Answer, Router, type ScriptCall } from './router.ts';
import { ShardMap } from './shard-map.ts';
import { checkServers, mayPass, type StartExpectations, startError } from './start-checks.ts';
import { type Subscriber, Subscriptions } from './subscriptions.ts';

export interface RedisLinkOptions {
  readonly settings: RedisSettings;
  readonly expectations: StartExpectations;
  readonly nodeId: string;
  /** A bus channel of this node's for its probes; `tag` chooses the slot. */
  readonly probeName: (tag: string) => string;
  readonly random: () => number;
  readonly observer?: RedisLinkObserver | undefined;
}

export interface RedisLinkObserver {
  serverDown(server: string, reason: string): void;
  serverReady(server: string, version: string): void;
  /** Subscriptions at a server were made again; messages may have been lost meanwhile. */
  listenerBack(server: string): void;
  warned(message: string): void;
}

/** A call with the usual timeout, sent to the owner of its first key's slot. */
export interface LinkCall {
  readonly script: ScriptName;
  readonly keys: readonly string[];
  readonly args: readonly Argument[] | ((shard: Shard) => readonly Argument[]);
  /** The reply's strings come as bytes. */
  readonly asBytes?: boolean;
}

const START_PATIENCE_MS = 30_000;
const START_PAUSE_MS = 1000;
const MAX_KEYS_PER_CALL = 500;

export class RedisLink {
  readonly #options: RedisLinkOptions;
  readonly #map: ShardMap;
  readonly #router: Router;
  readonly #subscriptions: Subscriptions;
  readonly #readyListeners: ((shard: Shard) => void)[] = [];
  #isOpen = false;
  #isClosing = false;

  constructor(options: RedisLinkOptions) {
    const { settings, nodeId, probeName, random, observer } = options;
    this.#options = options;
    this.#map = new ShardMap({
      settings,
      nodeId,
      probeName,
      random,
      events: {
        onMessage: (name, message) => this.#subscriptions.receive(name, message),
        onReady: (shard) => {
          observer?.serverReady(shard.label, shard.facts?.version ?? '');
          for (const listener of this.#readyListeners) listener(shard);
        },
        onDown: (shard, reason) => observer?.serverDown(shard.label, reason.message),
        onListenerConnected: (shard) => {
          if (!this.#isOpen) return;
          observer?.listenerBack(shard.label);
          this.#subscriptions.missed(shard.listener.names);
        },
        onMoved: (names) => void this.#subscriptions.restore(names),
      },
    });
    this.#router = new Router(this.#map, random);
    this.#subscriptions = new Subscriptions(this.#map, settings.socketTimeoutMs);
  }

  get isCluster(): boolean {
    return this.#map.isCluster;
  }

  get shards(): readonly Shard[] {
    return this.#map.shards;
  }

  /** True once nothing is waited for any longer. Calls still work until `close`. */
  get isClosing(): boolean {
    return this.#isClosing;
  }

  /** The key's hash slot. Without a cluster all keys may be used together, as if they had slot 0. */
  slotOf(key: string): number {
    return this.#map.slotOf(key);
  }

  ownerOf(slot: number): Shard | undefined {
    return this.#map.ownerOf(slot);
  }

  /** Connects and checks the servers. Rejects with an Error for the operator. */
  async open(): Promise<void> {
    await this.#openPatiently();
    const { settings, expectations, observer } = this.#options;
    try {
      for (const warning of checkServers(this.shards, settings, expectations)) observer?.warned(warning);
    } catch (error) {
      this.#map.stop();
      throw error;
    }
    this.#isOpen = true;
  }

  /** Waits for servers that do not answer yet: a service and its Redis are often started together. */
  async #openPatiently(): Promise<void> {
    const { settings, observer } = this.#options;
    const untilMs = performance.now() + START_PATIENCE_MS;
    for (;;) {
      try {
        await this.#map.open();
        return;
      } catch (error) {
        this.#map.stop();
        const problem = startError(error, settings);
        if (this.#isClosing || !mayPass(error) || performance.now() > untilMs) throw problem;
        observer?.warned(`${problem.message}; trying again`);
        await pause(START_PAUSE_MS);
      }
    }
  }

  /** Ends everything that waits or tries again. */
  beginClosing(): void {
    this.#isClosing = true;
    this.#subscriptions.stop();
  }

  close(): void {
    this.beginClosing();
    this.#map.stop();
  }

  /** Calls `listener` whenever a server becomes reachable, for the first time or again: it may have lost what was written to it. */
  onServerReady(listener: (shard: Shard) => void): void {
    this.#readyListeners.push(listener);
  }

  async call({ script, keys, args, asBytes = false }: LinkCall): Promise<unknown> {
    const answer = await this.#router.call({
      script,
      slot: this.slotOf(keys[0] as string),
      keys,
      argsFor: typeof args === 'function' ? args : () => args,
      asBytes,
      untilMs: performance.now() + this.#options.settings.socketTimeoutMs,
    });
    return answer.reply;
  }

  /** Sends a call with a deadline of its own; resolves with everything that is known of its answer. */
  route(call: ScriptCall): Promise<Answer> {
    return this.#router.call(call);
  }

  /** Calls `action` with the indexes of keys that may be used in one call, until all are done. */
  async perSlot(
    keys: readonly string[],
    action: (indexes: readonly number[]) => Promise<void>,
  ): Promise<void> {
    const slots = new Map<number, number[][]>();
    for (const [index, key] of keys.entries()) {
      const slot = this.slotOf(key);
      const chunks = slots.get(slot);
      const last = chunks?.at(-1);
      if (chunks === undefined || last === undefined) slots.set(slot, [[index]]);
      else if (last.length < MAX_KEYS_PER_CALL) last.push(index);
      else chunks.push([index]);
    }
    await Promise.all([...slots.values()].flat().map(action));
  }

  /** See `Subscriptions`. */
  subscribe(names: readonly string[], subscriber: Subscriber): Promise<void> {
    return this.#subscriptions.subscribe(names, subscriber);
  }

  unsubscribe(names: readonly string[]): void {
    this.#subscriptions.unsubscribe(names);
  }

  renewSubscriptions(names: readonly string[]): Promise<void> {
    return this.#subscriptions.renew(names);
  }
}
