/**
 * A process with one or several nodes' redis engines, their part in the fleet, and nothing else of the service: no
 * HTTP, and one imagined stream for every watched channel. It publishes, and counts what its engines announce, as the
 * hub would: a hole is looked for by offsets.
 */

import { setTimeout as pause } from 'node:timers/promises';
import { BROADCAST_CHANNEL } from '@message-push/protocol';
import type { LocalDirectory } from '@message-push/server/core/directory';
import type { LogState } from '@message-push/server/core/engine';
import type { Draft, Publication } from '@message-push/server/core/message';
import { createRedis } from '@message-push/server/engine/redis/create-redis';
import type { Fleet } from '@message-push/server/engine/redis/fleet/fleet';
import type { RedisEngine } from '@message-push/server/engine/redis/redis-engine';
import { monotonicUs } from './clock.ts';
import { serveCalls } from './rpc.ts';
import { TurnLoop, type TurnPlan } from './turn-loop.ts';

export interface OpenEngines {
  readonly port: number;
  /** The engines are the nodes `first` … `first + count - 1`. */
  readonly first: number;
  readonly count: number;
  readonly maxMessagesPerChannel: number;
  readonly idempotencyTtlMs: number;
  readonly isCluster?: boolean;
}

export interface PublishPlan extends TurnPlan {
  /** Channels to publish to, by turns. */
  readonly channels: ChannelRange;
  readonly messageBytes: number;
  /** Messages carry ids of their publisher's, so that a repeat is answered with the first result. */
  readonly hasIds: boolean;
}

/** `PREFIX0` … ; an empty prefix: the broadcast channel. With `owners`: so many for each node. */
export interface ChannelRange {
  readonly prefix: string;
  readonly count: number;
  readonly owners?: number;
}

export interface EngineSnapshot {
  readonly atUs: number;
  readonly published: number;
  /** Announcements that followed the one before, summed over this process's nodes. */
  readonly received: number;
  /** Announcements that did not, and positions that were ahead of what was announced. */
  readonly holes: number;
  readonly cpuUs: number;
}

const TTL_MS = 3_600_000;
const RETENTION_MS = 7 * 86_400_000;
const FINGERPRINT = 'abcdefghijklmnopqrstuv';
const WATCHED_AT_ONCE = 100;
const FILLED_AT_ONCE = 200;
const CALL_TIMEOUT_MS = 30_000;
const OVERTAKEN_MS = 2000;

let received = 0;
let holes = 0;

class Node {
  readonly engine: RedisEngine;
  readonly #fleet: Fleet;
  readonly #positions = new Map<string, { epoch: string; offset: number }>();

  constructor(options: OpenEngines, number: number) {
    const { engine, fleet } = createRedis({
      settings: {
        mode: options.isCluster === true ? 'cluster' : 'standalone',
        nodes: [{ host: '127.0.0.1', port: options.port }],
        sentinelMaster: '',
        database: 0,
        connectTimeoutMs: 10_000,
        socketTimeoutMs: CALL_TIMEOUT_MS,
        clientName: 'bench',
        keyPrefix: 'mps:',
        maxConnections: 50,
        ackReplicas: 1,
      },
      expectations: { isReplicatedByDefault: false, isProduction: false },
      nodeId: number.toString(16).padStart(8, '0'),
      bounds: {
        maxMessagesPerChannel: options.maxMessagesPerChannel,
        maxBytesPerChannel: 2 ** 26,
        channelRetentionMs: RETENTION_MS,
      },
      publishing: {
        idempotencyTtlMs: options.idempotencyTtlMs,
        maxQueueBytes: 2 ** 28,
        groupCommit: true,
      },
      streams: { local: () => this.#directory(), maxConnectionsPerUser: 0 },
      now: Date.now,
      random: Math.random,
    });
    this.engine = engine;
    this.#fleet = fleet;
  }

  async open(): Promise<void> {
    await this.engine.open({
      onPublications: (publications) => {
        for (const publication of publications) this.#receive(publication);
      },
      onSuspect: (channels) => {
        this.#compare(channels).catch(() => undefined); // they are suspect again at the next round
      },
    });
    await this.#fleet.open();
  }

  async watch(channels: readonly string[]): Promise<void> {
    const states = await this.engine.watch(channels);
    channels.forEach((channel, i) => {
      const { epoch, offset } = states[i] as LogState;
      this.#positions.set(channel, { epoch, offset });
    });
    this.#fleet.onMembership(channels.map((name) => ({ name })));
  }

  /** What is asked for audiences. Nobody asks for views of streams that are not there. */
  #directory(): LocalDirectory {
    const audiences: Pick<LocalDirectory, 'countStreams' | 'joinedNames'> = {
      countStreams: (channels) => channels.filter((name) => this.#positions.has(name)).length,
      joinedNames: () => this.#positions.keys(),
    };
    return audiences as LocalDirectory;
  }

  #receive({ places }: Publication): void {
    for (const { channel, epoch, offset } of places) {
      const position = this.#positions.get(channel);
      if (position === undefined) continue;
      if (offset === position.offset + 1) received++;
      else if (offset > position.offset) holes++;
      else continue;
      position.epoch = epoch;
      position.offset = offset;
    }
  }

  async #compare(channels: readonly string[]): Promise<void> {
    const states = await this.engine.states(channels);
    // The answer may overtake announcements, which come on another connection.
    await pause(OVERTAKEN_MS);
    channels.forEach((channel, i) => {
      const position = this.#positions.get(channel);
      const { epoch, offset } = states[i] as LogState;
      if (position === undefined || offset <= position.offset) return;
      holes++;
      position.epoch = epoch;
      position.offset = offset;
    });
  }
}

let first = 0;
let nodes: Node[] = [];
let loop: TurnLoop | undefined;
let published = 0;
let sequence = 0;

function channelNames({ prefix, count, owners }: ChannelRange): string[] {
  if (prefix === '') return [BROADCAST_CHANNEL];
  const prefixes = owners === undefined ? [prefix] : Array.from({ length: owners }, (_, i) => own(prefix, i));
  return prefixes.flatMap((each) => Array.from({ length: count }, (_, i) => each + i));
}

function own(prefix: string, node: number): string {
  return `${prefix}${node}-`;
}

/** JSON of `bytes` bytes, as the publish stage would have made it. */
function makeJson(bytes: number): Buffer {
  const wire = {
    id: '00000000-0000-4000-8000-000000000000',
    timestamp: new Date().toISOString(),
    type: 'info',
    service: 'bench',
    source: 'b',
    target: { user_id: '00000000' },
    data: { text: '' },
    metadata: { priority: 'normal', ttl: TTL_MS / 1000 },
  };
  const missing = bytes - Buffer.byteLength(JSON.stringify(wire));
  return Buffer.from(JSON.stringify({ ...wire, data: { text: 'x'.repeat(Math.max(0, missing)) } }));
}

function makeDraft(channels: readonly string[], json: Buffer, hasIds: boolean): Draft {
  const number = sequence++;
  return {
    message: {
      id: `bench-${process.pid}-${String(number).padStart(16, '0')}`,
      type: 'info',
      // A stride, so that neighbours of a turn are channels that are far apart.
      channels: [channels[(number * 7919) % channels.length] as string],
      exclude: undefined,
      timeMs: Date.now(),
      json,
    },
    ttlMs: TTL_MS,
    hasOwnTtl: false,
    fingerprint: hasIds ? FINGERPRINT : undefined,
    ack: 'stored',
  };
}

const handlers = {
  async open(options: OpenEngines): Promise<void> {
    first = options.first;
    nodes = Array.from({ length: options.count }, (_, i) => new Node(options, first + i));
    await Promise.all(nodes.map((node) => node.open()));
  },

  /** Each node watches the channels that are its own; a few at a time, as streams come. */
  async watchOwn({ prefix, count }: ChannelRange): Promise<void> {
    for (const [i, node] of nodes.entries()) {
      const names = channelNames({ prefix: own(prefix, first + i), count });
      for (let from = 0; from < count; from += WATCHED_AT_ONCE) {
        const group = names.slice(from, from + WATCHED_AT_ONCE);
        await Promise.all(group.map((name) => node.watch([name])));
      }
    }
  },

  /** Every node watches the same channels. */
  async watchShared(range: ChannelRange): Promise<void> {
    for (const node of nodes) await node.watch(channelNames(range));
  },

  async start({ channels, messageBytes, hasIds, ...plan }: PublishPlan): Promise<void> {
    const names = channelNames(channels);
    const json = makeJson(messageBytes);
    let turns = 0;
    loop = new TurnLoop((publishes) => {
      const { engine } = nodes[turns++ % nodes.length] as Node;
      return Promise.all(
        Array.from({ length: publishes }, () => engine.publish(makeDraft(names, json, hasIds))),
      );
    });
    loop.start(plan);
  },

  async stop(_: undefined): Promise<void> {
    await loop?.stop();
    published += loop?.published ?? 0;
    loop = undefined;
  },

  /** So many publishes to each of the channels, without ids or with. */
  async fill(plan: {
    readonly channels: ChannelRange;
    readonly perChannel: number;
    readonly messageBytes: number;
    readonly hasIds: boolean;
  }): Promise<void> {
    const { engine } = nodes[0] as Node;
    const json = makeJson(plan.messageBytes);
    const names = channelNames(plan.channels);
    for (let round = 0; round < plan.perChannel; round++) {
      for (let from = 0; from < names.length; from += FILLED_AT_ONCE) {
        const group = names.slice(from, from + FILLED_AT_ONCE);
        await Promise.all(group.map((name) => engine.publish(makeDraft([name], json, plan.hasIds))));
      }
    }
  },

  async snapshot(_: undefined): Promise<EngineSnapshot> {
    const { user, system } = process.cpuUsage();
    const running = loop?.published ?? 0;
    return { atUs: monotonicUs(), published: published + running, received, holes, cpuUs: user + system };
  },
};

export type EngineApi = typeof handlers;

serveCalls(handlers);
