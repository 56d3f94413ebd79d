/**
 * The redis engine: many nodes on one Redis, standalone, Sentinel or Cluster.
 *
 * Redis orders and keeps; its bus only wakes nodes up. A node watches the channels that its streams use, finds holes
 * by offsets, and asks where the logs stand whenever its ear was closed, and from time to time while it is open.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { isTransientChannel, type Position, unbornPosition } from '@message-push/protocol';
import { compareNames } from '../../core/compare-names.ts';
import type {
  ChannelSummary,
  Engine,
  EngineHealth,
  EngineListener,
  HistoryPage,
  HistoryRange,
  LogState,
  ReadFrom,
  Start,
} from '../../core/engine.ts';
import type { RequestError } from '../../core/errors.ts';
import type { Draft, Place, Publication, Receipt } from '../../core/message.ts';
import { engineClosed, engineOverloaded, engineUnavailable, idConflict } from '../refusals.ts';
import { Router } from './link/router.ts';
import type { Shard } from './link/shard.ts';
import { checkServers, mayPass, startError } from './link/start-checks.ts';
import type { TopologySettings } from './link/topology.ts';
import {
  decodeAnnouncement,
  type EntryFacts,
  factsFrom,
  type LogFacts,
  lostBefore,
  messagesOf,
  NODE_ID_CHARS,
  nodeOfConnectionChannel,
  readFacts,
  readLog,
  stateOf,
} from './log/codec.ts';
import { Keys } from './log/keys.ts';
import { assemblePage, type ChannelRead } from './log/page.ts';
import { NOBODY, type PartResult, PublishQueue } from './publish/publish-queue.ts';
import { type Acknowledged, AcknowledgedPositions } from './watch/acknowledged.ts';

export interface RedisEngineOptions extends TopologySettings {
  readonly keyPrefix: string;
  /** Eight hexadecimal digits, different for every node. */
  readonly nodeId: string;
  readonly maxMessagesPerChannel: number;
  readonly maxBytesPerChannel: number;
  readonly channelRetentionMs: number;
  readonly idempotencyTtlMs: number;
  readonly maxQueueBytes: number;
  readonly groupCommit: boolean;
  readonly ackReplicas: number;
  readonly isReplicatedByDefault: boolean;
  readonly maxConnections: number;
  readonly isProduction: boolean;
  readonly now: () => number;
  readonly random: () => number;
  readonly observer?: RedisEngineObserver;
}

export interface RedisEngineObserver {
  /** A call that published was answered. */
  committed(publications: number, seconds: number): void;
  serverDown(server: string, reason: string): void;
  serverReady(server: string, version: string): void;
  listenerBack(server: string): void;
  /** Acknowledged entries of a channel are missing after a failover. */
  lost(channel: string): void;
  warned(message: string): void;
}

/** Most channels of one call. */
const CHUNK = 500;
/** Watched channels are compared with their logs about this often, some at a time. */
const CHECK_ROUND_MS = 20_000;
const CHECK_INTERVAL_MS = 500;
const MAX_CHECKED_AT_ONCE = 2000;
/** How long a read of history waits for a server that is away. Streams stay open meanwhile. */
const READ_PATIENCE_MS = 600_000;
const READ_PAUSE_MS = 250;
/** A probe that is under way for longer: deliveries are late; this node should get no new streams. */
const BUS_LATE_MS = 2000;
const BUS_LOST_MS = 5000;
const RANGE_MAX_BYTES = 8 * 1024 * 1024;
const START_PATIENCE_MS = 30_000;
const START_PAUSE_MS = 1000;
const SCAN_COUNT = 1000;
const REPORTS_AT_ONCE = 200;

export class RedisEngine implements Engine {
  readonly kind = 'redis';
  readonly #options: RedisEngineOptions;
  readonly #keys: Keys;
  readonly #router: Router;
  readonly #queue: PublishQueue;
  readonly #acknowledged = new AcknowledgedPositions();
  /** Servers that have not been told how far this node has acknowledged on their predecessors. */
  readonly #unreported = new Set<Shard>();
  readonly #reporting = new Set<Shard>();
  /** Watched channels, and the last that was announced of each: `epoch offset`; '' before anything was. */
  readonly #watched = new Map<string, string>();
  readonly #channelOfBus = new Map<string, string>();
  #listener: EngineListener | undefined;
  #pending: Publication[] = [];
  #checkTimer: NodeJS.Timeout | undefined;
  #checkPlace: Iterator<string> | undefined;
  #maybeBehind: { channel: string; position: string; known: string }[] = [];
  #isClosed = false;
  #isOpen = false;
  #lost = 0;
  #onNodeMessage: (message: Buffer) => void = () => {};
  #onServerReady: (shard: Shard) => void = () => {};

  constructor(options: RedisEngineOptions) {
    this.#options = options;
    this.#keys = new Keys(options.keyPrefix, options.connection.database);
    const { observer } = options;
    this.#router = new Router({
      ...options,
      keys: this.#keys,
      onMessage: (name, message) => this.#onMessage(name, message),
      onReady: (shard) => {
        observer?.serverReady(shard.label, shard.facts?.version ?? '');
        this.#unreported.add(shard);
        void this.#reportLosses(shard);
        this.#onServerReady(shard);
      },
      onDown: (shard, reason) => observer?.serverDown(shard.label, reason.message),
      onHearing: (shard) => {
        if (!this.#isOpen) return;
        observer?.listenerBack(shard.label);
        this.#suspect([...shard.listener.names]);
      },
      onMoved: (names) => void this.#hearAgain(names),
    });
    this.#queue = new PublishQueue({
      router: this.#router,
      keys: this.#keys,
      maxMessagesPerChannel: options.maxMessagesPerChannel,
      maxBytesPerChannel: options.maxBytesPerChannel,
      logRetentionMs: options.channelRetentionMs,
      idempotencyTtlMs: options.idempotencyTtlMs,
      ackReplicas: options.ackReplicas,
      timeoutMs: options.connection.callTimeoutMs,
      isGrouping: options.groupCommit,
      newEpoch: () => this.#newEpoch(),
      onStored: (runId, channel, epoch, offset) => this.#acknowledged.note(runId, channel, epoch, offset),
      onCommitted: (publications, seconds) => observer?.committed(publications, seconds),
    });
  }

  get nodeId(): string {
    return this.#options.nodeId;
  }

  get keys(): Keys {
    return this.#keys;
  }

  get router(): Router {
    return this.#router;
  }

  /** What other nodes send to this one, or to all. Set before `open`. */
  set onNodeMessage(listener: (message: Buffer) => void) {
    this.#onNodeMessage = listener;
  }

  /** A server can be asked, for the first time or again: it may have lost what was noted there. Set before `open`. */
  set onServerReady(listener: (shard: Shard) => void) {
    this.#onServerReady = listener;
  }

  async open(listener: EngineListener): Promise<void> {
    this.#listener = listener;
    await this.#openRouter();
    try {
      for (const warning of checkServers(this.#router.shards, this.#options))
        this.#options.observer?.warned(warning);
    } catch (error) {
      this.#router.stop();
      throw error;
    }
    await this.#subscribe([this.#keys.nodeBus(this.nodeId), this.#keys.allNodesBus()]);
    this.#isOpen = true;
    this.#checkTimer = setInterval(() => this.#check(), CHECK_INTERVAL_MS);
    this.#checkTimer.unref();
  }

  /** Servers that do not answer yet are waited for: a service and its Redis are often started together. */
  async #openRouter(): Promise<void> {
    const { mode, connection, observer } = this.#options;
    const untilMs = performance.now() + START_PATIENCE_MS;
    for (;;) {
      try {
        await this.#router.open();
        return;
      } catch (error) {
        this.#router.stop();
        const problem = startError(error, mode, connection.database);
        if (this.#isClosed || !mayPass(error) || performance.now() > untilMs) throw problem;
        observer?.warned(`${problem.message}; trying again`);
        await pause(START_PAUSE_MS);
      }
    }
  }

  newConnectionId(): string {
    return `${this.nodeId}${randomUUID().slice(NODE_ID_CHARS)}`;
  }

  async publish(draft: Draft): Promise<Receipt> {
    const problem = this.#refusal(draft);
    if (problem !== undefined) throw problem;
    const { message, fingerprint } = draft;
    const claim =
      fingerprint !== undefined && this.#router.isCluster ? this.#claim(message.id, fingerprint) : undefined;
    // It may fail long before its turn comes.
    claim?.catch(() => undefined);
    const parts = await this.#queue.add(draft, claim);
    if (parts.some((part) => part.outcome === 'conflict')) throw idConflict(message.id);
    return receiptOf(draft, parts);
  }

  #refusal({ message }: Draft): RequestError | undefined {
    if (!this.#isOpen || this.#isClosed) {
      return engineClosed();
    }
    const { maxQueueBytes } = this.#options;
    if (this.#queue.bytes > 0 && this.#queue.bytes + message.json.length > maxQueueBytes) {
      return engineOverloaded(this.#queue.bytes, maxQueueBytes);
    }
    return undefined;
  }

  /** In a cluster an id's receipts lie with its channels; that no other message has it is known in one place. */
  async #claim(id: string, fingerprint: string): Promise<boolean> {
    const args = [String(this.#options.idempotencyTtlMs), fingerprint];
    const [isOurs] = (await this.#call('claim', [this.#keys.claim(id)], () => args)) as [number];
    return isOurs === 1;
  }

  async watch(channels: readonly string[]): Promise<readonly LogState[]> {
    for (const channel of channels) {
      this.#watched.set(channel, '');
      this.#channelOfBus.set(this.#keys.log(channel), channel);
    }
    try {
      await this.#subscribe(channels.map((channel) => this.#keys.log(channel)));
      const states = await this.#statesOf(channels);
      channels.forEach((channel, i) => {
        const state = states[i] as LogState;
        if (this.#watched.get(channel) === '' && state.offset > 0) {
          this.#watched.set(channel, `${state.epoch} ${state.offset}`);
        }
      });
      return states;
    } catch (error) {
      this.unwatch(channels);
      throw engineUnavailable('the channels could not be watched', error);
    }
  }

  unwatch(channels: readonly string[]): void {
    const names = channels.map((channel) => this.#keys.log(channel));
    for (const channel of channels) this.#watched.delete(channel);
    for (const name of names) this.#channelOfBus.delete(name);
    this.#unsubscribe(names);
  }

  #unsubscribe(names: readonly string[]): void {
    for (const { listener } of this.#router.shards) {
      const here = names.filter((name) => listener.names.has(name));
      if (here.length > 0) listener.unsubscribe(here);
    }
  }

  async states(channels: readonly string[]): Promise<readonly LogState[]> {
    try {
      return await this.#statesOf(channels);
    } catch (error) {
      throw engineUnavailable('history could not be read', error);
    }
  }

  async locate(channel: string, start: Start): Promise<Position> {
    const [state] = await this.states([channel]);
    if (state === undefined) throw new Error('unreachable: one channel was asked for');
    const { epoch, offset, floor } = state;
    const at = (position: number): Position => ({ epoch, offset: Math.max(floor, position) });
    if (offset === 0 || start.kind === 'now') return { epoch, offset };
    if (start.kind === 'all') return at(floor);
    if (start.kind === 'last') return at(offset - start.count);
    const keys = [this.#keys.log(channel), this.#keys.history(channel)];
    const args = [String(this.#options.maxMessagesPerChannel), String(start.sinceMs)];
    const first = await this.#call('locate', keys, () => args).catch((error: Error) => {
      throw engineUnavailable('history could not be read', error);
    });
    return at(Number(first) - 1);
  }

  async read(from: readonly ReadFrom[], maxBytes: number): Promise<HistoryPage> {
    const patienceMs = performance.now() + READ_PATIENCE_MS;
    for (;;) {
      try {
        return await this.#read(from, maxBytes);
      } catch (error) {
        if (this.#isClosed || performance.now() > patienceMs)
          throw engineUnavailable('history could not be read', error);
        await pause(READ_PAUSE_MS * (0.5 + this.#options.random()), undefined, { ref: false });
      }
    }
  }

  async range(
    channel: string,
    { from, to, limit, reverse }: HistoryRange,
  ): Promise<{ state: LogState; publications: readonly Publication[] }> {
    const keys = [this.#keys.log(channel), this.#keys.history(channel)];
    const args = [
      String(this.#options.maxMessagesPerChannel),
      String(from),
      // More than Lua counts exactly is as good as everything.
      String(Math.min(to, 1e13)),
      String(limit),
      String(RANGE_MAX_BYTES),
      reverse ? '1' : '0',
    ];
    const reply = await this.#call('range', keys, () => args, true).catch((error: Error) => {
      throw engineUnavailable('history could not be read', error);
    });
    const [now, bytes, first, list] = reply as [Buffer, Buffer, Buffer, Buffer[]];
    const log = readLog(bytes);
    if (log === undefined) return { state: this.#unborn(), publications: [] };
    const lowest = Math.max(from, this.#lowestOf(log));
    const publications = list.flatMap((entry) => {
      const messages = messagesOf(entry, factsFrom(readFacts(entry), lowest)).filter(
        ({ offset }) => offset <= to,
      );
      return (reverse ? messages.reverse() : messages).map(
        ({ message, offset, order }): Publication => ({
          message,
          places: [{ channel, epoch: log.epoch, offset }],
          order,
        }),
      );
    });
    const state = stateOf(log, lostBefore(log, this.#firstOf(log, first), numberOf(now)));
    return { state, publications: publications.slice(0, limit) };
  }

  async channels({ prefix, after, limit }: { prefix: string; after: string; limit: number }): Promise<{
    total: number;
    channels: readonly ChannelSummary[];
  }> {
    try {
      const names = (await this.#scan(prefix)).sort(compareNames);
      const page = names.filter((name) => compareNames(name, after) > 0).slice(0, limit);
      return { total: names.length, channels: await this.#summaries(page) };
    } catch (error) {
      throw engineUnavailable('channels could not be listed', error);
    }
  }

  health(): EngineHealth {
    const { shards } = this.#router;
    const ready = shards.filter((shard) => shard.isReady);
    const hearing = ready.filter((shard) => shard.listener.isHearing);
    const lags = ready.flatMap(({ busLagMs }) => (busLagMs === undefined ? [] : [busLagMs]));
    const lagMs = lags.length === 0 ? null : Math.round(Math.max(...lags) * 10) / 10;
    const details = {
      mode: this.#options.mode,
      servers: shards.length,
      servers_ready: ready.length,
      servers_heard: hearing.length,
      bus_lag_ms: lagMs,
      bus_reconnects: shards.reduce((sum, { listener }) => sum + listener.losses, 0),
      watched_channels: this.#watched.size,
      queue_bytes: this.#queue.bytes,
      queue_messages: this.#queue.messages,
      losses_announced: this.#lost,
      clock_skew_ms: Math.round(Math.max(0, ...shards.map((shard) => Math.abs(shard.clockOffsetMs)))),
      redis_version: ready[0]?.facts?.version ?? null,
    };
    if (!this.#isOpen) return { status: 'unhealthy', reason: 'the engine is not open', details };
    const away = shards.find((shard) => !shard.isReady);
    if (ready.length === 0) {
      const reason = away?.lastError?.message ?? 'no server is known';
      return { status: 'unhealthy', reason: `Redis is away: ${reason}`, details };
    }
    if ((lagMs ?? 0) > BUS_LOST_MS) {
      return { status: 'unhealthy', reason: `the bus has brought nothing for ${lagMs} ms`, details };
    }
    if (away !== undefined) {
      return { status: 'degraded', reason: away.lastError?.message ?? `${away.label} is away`, details };
    }
    if (hearing.length < ready.length || (lagMs ?? 0) > BUS_LATE_MS) {
      return { status: 'degraded', reason: 'the bus is not heard in time: deliveries are late', details };
    }
    return { status: 'healthy', reason: undefined, details };
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#checkTimer);
    await this.#queue.settled();
    this.#router.stop();
  }

  /** Subscribes names of the bus where they are. */
  async #subscribe(names: readonly string[]): Promise<void> {
    const untilMs = performance.now() + this.#options.connection.callTimeoutMs;
    let left = names;
    for (;;) {
      const byShard = Map.groupBy(left, (name) => this.#router.ownerOf(this.#router.groupOf(name)));
      const moved: string[] = [];
      await Promise.all(
        [...byShard].map(async ([shard, group]) => {
          if (shard === undefined) {
            moved.push(...group);
            return;
          }
          await shard.listener.subscribe(group).catch((error: unknown) => {
            if (performance.now() > untilMs || this.#isClosed) throw error;
            moved.push(...group);
          });
        }),
      );
      if (moved.length === 0) return;
      left = moved;
      await this.#router.refresh();
      await pause(READ_PAUSE_MS / 5);
    }
  }

  async #hearAgain(names: readonly string[]): Promise<void> {
    const fixed = new Set([this.#keys.nodeBus(this.nodeId), this.#keys.allNodesBus()]);
    const wanted = names.filter((name) => this.#channelOfBus.has(name) || fixed.has(name));
    while (!this.#isClosed && wanted.length > 0) {
      try {
        await this.#subscribe(wanted);
        this.#suspect(wanted);
        return;
      } catch {
        await pause(READ_PAUSE_MS, undefined, { ref: false });
      }
    }
  }

  #suspect(names: readonly string[]): void {
    const channels = names.flatMap((name) => this.#channelOfBus.get(name) ?? []);
    if (channels.length > 0) this.#listener?.onSuspect(channels);
  }

  #check(): void {
    this.#acknowledged.sweep(this.#options.now());
    for (const shard of this.#unreported) {
      if (!this.#router.shards.includes(shard)) this.#unreported.delete(shard);
      else if (shard.isReady) void this.#reportLosses(shard);
    }
    const behind = this.#maybeBehind.filter(({ channel, known }) => this.#watched.get(channel) === known);
    for (const { channel, position } of behind) this.#watched.set(channel, position);
    if (behind.length > 0) void this.#renewSubscriptions(behind.map(({ channel }) => channel));
    this.#maybeBehind = [];
    // What is not known now is asked for again in the next round.
    this.#comparePositions(this.#nextToCheck()).catch(() => undefined);
  }

  /** The bus did not bring what these logs have: whatever it was, they are subscribed anew. */
  async #renewSubscriptions(channels: readonly string[]): Promise<void> {
    this.#options.observer?.warned(
      `${channels.length} channels were not heard on the bus; they are subscribed anew`,
    );
    const names = channels.map((channel) => this.#keys.log(channel));
    this.#unsubscribe(names);
    await this.#hearAgain(names);
  }

  /** Some watched channels, for ever round. */
  #nextToCheck(): string[] {
    const rounds = CHECK_ROUND_MS / CHECK_INTERVAL_MS;
    const count = Math.min(MAX_CHECKED_AT_ONCE, Math.ceil(this.#watched.size / rounds));
    const channels: string[] = [];
    while (channels.length < count) {
      this.#checkPlace ??= this.#watched.keys();
      const next = this.#checkPlace.next();
      if (next.done) {
        this.#checkPlace = undefined;
        break;
      }
      channels.push(next.value);
    }
    return channels;
  }

  /** What a log has and the bus has not brought may be on its way: it is looked at again at the next check. */
  async #comparePositions(channels: readonly string[]): Promise<void> {
    const retention = String(this.#options.channelRetentionMs);
    await this.#perGroup(channels, async (indexes) => {
      const names = indexes.map((i) => channels[i] as string);
      const keys = names.map((channel) => this.#keys.log(channel));
      const positions = (await this.#call('positions', keys, () => [retention])) as string[];
      names.forEach((channel, i) => {
        const known = this.#watched.get(channel);
        const position = positions[i] as string;
        if (known === undefined || isSeen(position, known)) return;
        this.#maybeBehind.push({ channel, position, known });
      });
    });
  }

  #onMessage(name: string, bytes: Buffer): void {
    const channel = this.#channelOfBus.get(name);
    if (channel === undefined) {
      if (bytes[0] === AT_SIGN) this.#onNodeMessage(bytes);
      else
        for (const { message, order } of decodeAnnouncement(bytes).publications) {
          this.#announce({ message, places: this.#placesHere(message.channels), order });
        }
      return;
    }
    const { epoch, publications } = decodeAnnouncement(bytes);
    const newest = publications.at(-1);
    if (newest === undefined) {
      this.#listener?.onSuspect([channel]);
      return;
    }
    this.#watched.set(channel, `${epoch} ${newest.offset}`);
    for (const { message, offset, order } of publications) {
      this.#announce({ message, places: [{ channel, epoch, offset }], order });
    }
  }

  #placesHere(channels: readonly string[]): Place[] {
    return channels
      .filter((channel) => isTransientChannel(channel) && nodeOfConnectionChannel(channel) === this.nodeId)
      .map((channel) => ({ channel, epoch: '', offset: 0 }));
  }

  /** All that one read of the socket has brought is handed on together. */
  #announce(publication: Publication): void {
    if (this.#pending.push(publication) > 1) return;
    queueMicrotask(() => {
      const publications = this.#pending;
      this.#pending = [];
      this.#listener?.onPublications(publications);
    });
  }

  /** Tells the logs of a new run how far this node has acknowledged on the one before. Called again until it is done. */
  async #reportLosses(shard: Shard): Promise<void> {
    if (this.#reporting.has(shard)) return;
    this.#reporting.add(shard);
    const { runId } = shard;
    const isConcerned = (channel: string): boolean =>
      this.#router.ownerOf(this.#router.groupOf(this.#keys.log(channel))) === shard;
    const positions = this.#acknowledged.ofOtherRuns(runId, isConcerned);
    try {
      for (let i = 0; i < positions.length; i += REPORTS_AT_ONCE) {
        const some = positions.slice(i, i + REPORTS_AT_ONCE);
        await Promise.all(some.map((position) => this.#reportLoss(shard, position)));
      }
      if (shard.runId === runId) this.#unreported.delete(shard);
    } catch {
      // It stays unreported, and is said again at the next check.
    } finally {
      this.#reporting.delete(shard);
    }
  }

  async #reportLoss(shard: Shard, position: Acknowledged): Promise<void> {
    const { channel } = position;
    const args = [
      shard.runId,
      position.epoch,
      String(position.offset),
      this.#newEpoch(),
      shard.busKind === 'sharded' ? 'spublish' : 'publish',
      String(this.#options.channelRetentionMs),
    ];
    const isNoted = await this.#call('reportLoss', [this.#keys.log(channel)], () => args);
    this.#acknowledged.forget(position);
    if (Number(isNoted) !== 1) return;
    this.#lost++;
    this.#options.observer?.lost(channel);
  }

  async #statesOf(channels: readonly string[]): Promise<LogState[]> {
    const states: LogState[] = Array.from({ length: channels.length }, () => this.#unborn());
    await this.#perGroup(channels, async (indexes) => {
      const keys = indexes.flatMap((i) => this.#logKeys(channels[i] as string));
      const args = [String(this.#options.maxMessagesPerChannel)];
      const [now, ...rest] = (await this.#call('states', keys, () => args, true)) as [Buffer, ...Buffer[]];
      indexes.forEach((index, i) => {
        const log = readLog(rest[2 * i] as Buffer);
        if (log === undefined) return;
        const first = this.#firstOf(log, rest[2 * i + 1] as Buffer);
        states[index] = stateOf(log, lostBefore(log, first, numberOf(now)));
      });
    });
    return states;
  }

  async #read(from: readonly ReadFrom[], maxBytes: number): Promise<HistoryPage> {
    const reads: ChannelRead[] = [];
    const unborn = this.#unborn();
    // What all of them may bring together is bounded, and each brings something.
    const share = Math.max(1, Math.ceil(maxBytes / from.length));
    await this.#perGroup(
      from.map(({ channel }) => channel),
      async (indexes) => {
        const keys = indexes.flatMap((i) => this.#logKeys((from[i] as ReadFrom).channel));
        const args = [
          String(this.#options.maxMessagesPerChannel),
          String(share),
          ...indexes.map((i) => String((from[i] as ReadFrom).offset)),
        ];
        const [now, ...rest] = (await this.#call('read', keys, () => args, true)) as [Buffer, ...unknown[]];
        indexes.forEach((index, i) => {
          const { channel, offset } = from[index] as ReadFrom;
          reads[index] = {
            channel,
            after: offset,
            log: readLog(rest[2 * i] as Buffer),
            list: rest[2 * i + 1] as Buffer[],
            maxMessages: this.#options.maxMessagesPerChannel,
            nowMs: numberOf(now),
            maxBytes: share,
            unborn,
          };
        });
      },
    );
    return assemblePage(reads, maxBytes);
  }

  async #summaries(channels: readonly string[]): Promise<ChannelSummary[]> {
    const summaries: (ChannelSummary | undefined)[] = [];
    await this.#perGroup(channels, async (indexes) => {
      const keys = indexes.flatMap((i) => this.#logKeys(channels[i] as string));
      const args = [String(this.#options.maxMessagesPerChannel)];
      const [now, ...rest] = (await this.#call('summary', keys, () => args, true)) as [Buffer, ...unknown[]];
      indexes.forEach((index, i) => {
        const [bytes, facts, size] = rest.slice(3 * i, 3 * i + 3) as [Buffer, Buffer, number];
        const log = readLog(bytes);
        const first = log && this.#firstOf(log, facts);
        if (log === undefined || first === undefined) return;
        summaries[index] = {
          channel: channels[index] as string,
          ...stateOf(log, lostBefore(log, first, numberOf(now))),
          messages: log.offset - first.first + 1,
          bytes: log.bytes - first.bytes + size,
          lastPublishedMs: Math.floor(log.order / 1000),
        };
      });
    });
    return summaries.flatMap((summary) => summary ?? []);
  }

  /** Names of channels with history that start with `prefix`. It looks at every key: for people, not for machines. */
  async #scan(prefix: string): Promise<string[]> {
    const names = new Set<string>();
    const pattern = this.#keys.historyPattern(prefix);
    await Promise.all(
      this.#router.shards.map(async (shard) => {
        let cursor = '0';
        do {
          const reply = await shard.call(['SCAN', cursor, 'MATCH', pattern, 'COUNT', String(SCAN_COUNT)]);
          const [next, found] = reply as [string, string[]];
          for (const key of found) names.add(this.#keys.channelOfHistory(key));
          cursor = next;
        } while (cursor !== '0');
      }),
    );
    return [...names];
  }

  /** Facts of what a channel keeps, from the facts of its first entry. */
  #firstOf(log: LogFacts, facts: Buffer): EntryFacts | undefined {
    return facts.length === 0 ? undefined : factsFrom(readFacts(facts), this.#lowestOf(log));
  }

  #lowestOf(log: LogFacts): number {
    return log.offset - this.#options.maxMessagesPerChannel + 1;
  }

  #logKeys(channel: string): [string, string] {
    return [this.#keys.log(channel), this.#keys.history(channel)];
  }

  /** Calls `action` with the indexes of channels that may share a call. */
  async #perGroup(channels: readonly string[], action: (indexes: number[]) => Promise<void>): Promise<void> {
    const groups = new Map<number, number[][]>();
    channels.forEach((channel, index) => {
      const group = this.#router.groupOf(this.#keys.log(channel));
      const chunks = groups.get(group);
      if (chunks === undefined) groups.set(group, [[index]]);
      else if ((chunks.at(-1) as number[]).length < CHUNK) chunks.at(-1)?.push(index);
      else chunks.push([index]);
    });
    await Promise.all([...groups.values()].flat().map(action));
  }

  async #call(
    script: Parameters<Router['call']>[0],
    keys: readonly string[],
    args: (shard: Shard) => readonly string[],
    asBytes = false,
  ): Promise<unknown> {
    const group = this.#router.groupOf(keys[0] as string);
    const untilMs = performance.now() + this.#options.connection.callTimeoutMs;
    return (await this.#router.call(script, group, keys, args, { untilMs, asBytes })).reply;
  }

  #unborn(): LogState {
    return { ...unbornPosition(this.#options.now()), floor: 0 };
  }

  #newEpoch(): string {
    return Math.floor(this.#options.random() * 36 ** 8)
      .toString(36)
      .padStart(8, '0');
  }
}

const AT_SIGN = 0x40;

function numberOf(text: Buffer): number {
  return Number(text.toString('latin1'));
}

/** Whether what was announced reaches as far as the log; both as `epoch offset`. */
function isSeen(position: string, known: string): boolean {
  if (position === known) return true;
  const [epoch, offset] = position.split(' ');
  const [knownEpoch, knownOffset] = known.split(' ');
  return epoch === knownEpoch && Number(offset) <= Number(knownOffset);
}

function receiptOf({ message, ack }: Draft, parts: readonly PartResult[]): Receipt {
  const [only] = parts;
  if (parts.length === 1 && message.channels.length === 1 && only !== undefined) {
    const { places, audiences, timeMs, outcome } = only;
    return { messageId: message.id, places, audiences, timeMs, isRepeat: outcome === 'repeat', ack };
  }
  const byChannel = new Map(
    parts.flatMap(({ places, audiences }) =>
      places.map((place, i) => [place.channel, { place, audience: audiences[i] ?? NOBODY }]),
    ),
  );
  const found = message.channels.flatMap((channel) => byChannel.get(channel) ?? []);
  return {
    messageId: message.id,
    places: found.map(({ place }) => place),
    audiences: found.map(({ audience }) => audience),
    timeMs: parts[0]?.timeMs ?? message.timeMs,
    isRepeat: parts.every(({ outcome }) => outcome === 'repeat'),
    ack,
  };
}
