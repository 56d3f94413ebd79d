/**
 * The embedded engine: one process, durable on disk, nothing beside it.
 *
 * Publishes that arrive while a commit is under way go together in the next one (group commit). One commit is
 * under way at a time: its offsets are given out when it is sent and become visible, are announced and are
 * acknowledged when the store says that it is on disk. If it fails, nothing of it happened.
 */
import { randomUUID } from 'node:crypto';
import type { Position } from '@message-push/protocol';
import type { Backup, BackupMaker } from '../../core/backups.ts';
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
import { RequestError } from '../../core/errors.ts';
import type { Draft, Publication, Receipt } from '../../core/message.ts';
import { engineClosed, engineOverloaded, engineUnavailable, idConflict, storageFull } from '../refusals.ts';
import { ChannelLogs } from './channel-logs.ts';
import { type Batch, buildBatch, settleBatch, undoBatch } from './commit-batch.ts';
import { publicationsOf } from './page.ts';
import { Receipts } from './receipts.ts';
import { StoreClient, type StoreError } from './store-client.ts';
import type { Deletion, OpenReply, SweepReply } from './store-protocol.ts';

export interface EmbeddedEngineOptions {
  readonly directory: string;
  readonly maxMessagesPerChannel: number;
  readonly maxBytesPerChannel: number;
  readonly maxBytes: number;
  readonly maxChannels: number;
  readonly channelRetentionMs: number;
  readonly idempotencyTtlMs: number;
  readonly idempotencyMaxKeys: number;
  readonly maxQueueBytes: number;
  /** False: every publish is a commit of its own. */
  readonly groupCommit: boolean;
  readonly now: () => number;
  readonly observer?: EmbeddedEngineObserver;
}

/** What the metrics and the log learn; every method is called at most once per commit or sweep. */
export interface EmbeddedEngineObserver {
  committed(publications: number, seconds: number): void;
  commitFailed(failure: string, message: string): void;
  trimmed(cause: 'count' | 'ttl' | 'total_bytes', rows: number): void;
  storeSetAside(file: string): void;
  faulted(message: string): void;
}

interface Waiting {
  readonly draft: Draft;
  readonly resolve: (receipt: Receipt) => void;
  readonly reject: (error: RequestError) => void;
}

/** One commit stays below some 10 ms of the store thread and some MB of its memory. */
const MAX_BATCH_DRAFTS = 1000;
const MAX_BATCH_BYTES = 4 * 1024 * 1024;
const SWEEP_INTERVAL_MS = 1000;
const SWEEP_ROWS = 500;
const SWEEP_CHANNELS = 2000;
const RANGE_MAX_BYTES = 8 * 1024 * 1024;

export class EmbeddedEngine implements Engine, BackupMaker {
  readonly kind = 'embedded';
  readonly #options: EmbeddedEngineOptions;
  readonly #logs: ChannelLogs;
  readonly #receipts: Receipts;
  #store: StoreClient | undefined;
  #listener: EngineListener | undefined;

  #queue: Waiting[] = [];
  #queueBytes = 0;
  /** Publishes with an id of the publisher's that are queued or under way. */
  readonly #idsUnderWay = new Map<string, { fingerprint: string; receipt: Promise<Receipt> }>();
  /** Not forgotten, however long they are quiet. */
  readonly #watched = new Set<string>();
  #isCommitting = false;
  #isCommitScheduled = false;
  #lastSeq = 0;
  #closing: (() => void) | undefined;

  #sweepTimer: NodeJS.Timeout | undefined;
  #isSweeping = false;
  #sweepPlace: Iterator<{ id: number }> | undefined;
  #isCopying = false;
  #writeFailure: string | undefined;
  #fault: string | undefined;
  #setAside: string | undefined;

  constructor(options: EmbeddedEngineOptions) {
    this.#options = options;
    this.#logs = new ChannelLogs({
      maxMessages: options.maxMessagesPerChannel,
      maxBytes: options.maxBytesPerChannel,
    });
    this.#receipts = new Receipts({ ttlMs: options.idempotencyTtlMs, maxKeys: options.idempotencyMaxKeys });
  }

  async open(listener: EngineListener): Promise<void> {
    this.#listener = listener;
    const { directory, idempotencyTtlMs, now, observer } = this.#options;
    const { client, opened } = await StoreClient.open(
      { directory, receiptsSinceMs: now() - idempotencyTtlMs },
      (error) => {
        this.#fault = error.message;
        observer?.faulted(error.message);
      },
    );
    this.#store = client;
    this.#load(opened);
    this.#sweepTimer = setInterval(() => this.#sweep(), SWEEP_INTERVAL_MS);
    this.#sweepTimer.unref();
  }

  #load(opened: OpenReply): void {
    this.#logs.load(opened.channels);
    this.#receipts.load(opened.receipts);
    this.#lastSeq = opened.lastSeq;
    if (opened.setAside !== undefined) {
      this.#setAside = opened.setAside;
      this.#options.observer?.storeSetAside(opened.setAside);
    }
  }

  newConnectionId(): string {
    return randomUUID();
  }

  publish(draft: Draft): Promise<Receipt> {
    const problem = this.#refusal(draft);
    if (problem !== undefined) return Promise.reject(problem);
    const { message, fingerprint } = draft;
    if (fingerprint === undefined) return this.#enqueue(draft);
    const underWay = this.#idsUnderWay.get(message.id);
    const known = underWay ?? this.#receipts.find(message.id, this.#options.now());
    if (known !== undefined && known.fingerprint !== fingerprint) {
      return Promise.reject(idConflict(message.id));
    }
    if (underWay !== undefined) return underWay.receipt.then((r) => ({ ...r, isRepeat: true }));
    if (known !== undefined && 'places' in known) {
      const { places, timeMs } = known;
      return Promise.resolve({ messageId: message.id, places, timeMs, isRepeat: true, ack: 'stored' });
    }
    const receipt = this.#enqueue(draft).finally(() => this.#idsUnderWay.delete(message.id));
    this.#idsUnderWay.set(message.id, { fingerprint, receipt });
    return receipt;
  }

  #refusal({ message }: Draft): RequestError | undefined {
    if (this.#fault !== undefined) return new RequestError('engine_unavailable', this.#fault);
    if (this.#store === undefined || this.#closing !== undefined) {
      return engineClosed();
    }
    if (this.#queueBytes + message.json.length > this.#options.maxQueueBytes && this.#queueBytes > 0) {
      return engineOverloaded(this.#queueBytes, this.#options.maxQueueBytes);
    }
    if (this.#logs.size >= this.#options.maxChannels && message.channels.some((c) => !this.#logs.get(c))) {
      return new RequestError(
        'storage_full',
        `there are ${this.#logs.size} channels and MAX_CHANNELS allows no new one`,
        { retryAfterSeconds: 60 },
      );
    }
    return undefined;
  }

  #enqueue(draft: Draft): Promise<Receipt> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ draft, resolve, reject });
      this.#queueBytes += draft.message.json.length;
      if (this.#isCommitting || this.#isCommitScheduled) return;
      // At the end of this turn, so that publishes that came in together are committed together.
      this.#isCommitScheduled = true;
      setImmediate(() => {
        this.#isCommitScheduled = false;
        this.#commitNext();
      });
    });
  }

  #commitNext(): void {
    if (this.#isCommitting || this.#queue.length === 0) return;
    const waiting = this.#takeBatch();
    const batch = buildBatch(
      waiting.map((w) => w.draft),
      this.#logs,
      { firstSeq: this.#lastSeq + 1, nowMs: this.#options.now() },
    );
    this.#isCommitting = true;
    const done = (): void => {
      this.#isCommitting = false;
      if (this.#queue.length > 0) this.#commitNext();
      else this.#closing?.();
    };
    if (batch.rows === 0) {
      // Messages for single connections: nothing to store, the same way from here on.
      this.#announce(batch, waiting);
      done();
      return;
    }
    const { request } = batch;
    this.#storeOrFail().send(
      request,
      (reply) => {
        this.#lastSeq += batch.rows;
        this.#writeFailure = undefined;
        settleBatch(batch, this.#logs);
        for (const { channel, upTo } of request.trims) {
          const log = this.#logs.byId(channel);
          if (log !== undefined) log.first = Math.max(log.first, upTo + 1);
        }
        this.#options.observer?.committed(waiting.length, reply.seconds);
        this.#noteDeletions('count', reply.deletions);
        this.#announce(batch, waiting);
        done();
      },
      (error) => {
        undoBatch(batch, this.#logs);
        this.#writeFailure = error.message;
        this.#options.observer?.commitFailed(error.failure, error.message);
        for (const { reject } of waiting) reject(storeError('the message could not be stored', error));
        done();
      },
      [request.numbers.buffer, request.bodies.buffer],
    );
  }

  #takeBatch(): Waiting[] {
    const limit = this.#options.groupCommit ? MAX_BATCH_DRAFTS : 1;
    let count = 0;
    let bytes = 0;
    for (; count < this.#queue.length && count < limit; count++) {
      const size = (this.#queue[count] as Waiting).draft.message.json.length;
      if (count > 0 && bytes + size > MAX_BATCH_BYTES) break;
      bytes += size;
    }
    this.#queueBytes -= bytes;
    if (count === this.#queue.length) {
      const all = this.#queue;
      this.#queue = [];
      return all;
    }
    return this.#queue.splice(0, count);
  }

  /** Announces before it acknowledges, so that a publisher's next step finds its message delivered. */
  #announce(batch: Batch, waiting: readonly Waiting[]): void {
    // Watched or not: within one process the listener knows that sooner than the engine.
    const publications = batch.placed.map(
      ({ draft, places, order }): Publication => ({ message: draft.message, places, order }),
    );
    this.#listener?.onPublications(publications);
    for (let i = 0; i < waiting.length; i++) {
      const { draft, resolve } = waiting[i] as Waiting;
      const { places } = batch.placed[i] as Batch['placed'][number];
      const { id, timeMs } = draft.message;
      if (draft.fingerprint !== undefined) {
        this.#receipts.remember(id, { fingerprint: draft.fingerprint, places, timeMs });
      }
      resolve({ messageId: id, places, timeMs, isRepeat: false, ack: 'stored' });
    }
  }

  watch(channels: readonly string[]): Promise<readonly LogState[]> {
    for (const name of channels) this.#watched.add(name);
    return this.states(channels);
  }

  unwatch(channels: readonly string[]): void {
    for (const name of channels) this.#watched.delete(name);
  }

  states(channels: readonly string[]): Promise<readonly LogState[]> {
    const nowMs = this.#options.now();
    return Promise.resolve(channels.map((name) => this.#logs.stateOf(name, nowMs)));
  }

  async locate(channel: string, start: Start): Promise<Position> {
    const state = this.#logs.stateOf(channel, this.#options.now());
    const log = this.#logs.get(channel);
    const at = (offset: number): Position => ({
      offset: Math.min(Math.max(offset, state.floor), state.offset),
      epoch: state.epoch,
    });
    if (log === undefined || state.offset === 0) return at(0);
    switch (start.kind) {
      case 'now':
        return at(state.offset);
      case 'all':
        return at(0);
      case 'last':
        return at(state.offset - start.count);
      case 'time':
        return at(
          await new Promise((resolve, reject) => {
            const request = { op: 'locate', channel: log.id, sinceMs: start.sinceMs } as const;
            this.#storeOrFail().send(request, resolve, (error) => reject(readError(error)));
          }),
        );
    }
  }

  read(from: readonly ReadFrom[], maxBytes: number): Promise<HistoryPage> {
    const nowMs = this.#options.now();
    const asked: { channel: number; offset: number; index: number }[] = [];
    for (let index = 0; index < from.length; index++) {
      const { channel, offset } = from[index] as ReadFrom;
      const log = this.#logs.get(channel);
      // With what is being committed: all channels are read at one moment, or a message of one channel would
      // come before an older one that stands in both.
      if (log === undefined || offset >= log.offset + log.pending) continue;
      // Rows up to the floor may be there still, and are nobody's to read.
      const { floor } = this.#logs.stateOf(channel, nowMs);
      asked.push({ channel: log.id, offset: Math.max(offset, floor), index });
    }
    return new Promise((resolve, reject) => {
      this.#storeOrFail().send(
        { op: 'read', from: asked.map(({ channel, offset }) => ({ channel, offset })), maxBytes, nowMs },
        (page) => {
          for (let i = 0; i < asked.length; i++) {
            const log = this.#logs.byId((asked[i] as { channel: number }).channel);
            if (log !== undefined) log.floor = Math.max(log.floor, page.lostTo[i] as number);
          }
          const states = from.map(({ channel }) => this.#logs.stateOf(channel, nowMs));
          // A channel that was at its top when asked may have grown since: nothing of that is in this page.
          const reached = from.map(({ offset }) => offset);
          for (let i = 0; i < asked.length; i++) {
            const { index } = asked[i] as { index: number };
            const reachedOffset = page.reached[i] as number;
            reached[index] = reachedOffset < 0 ? (states[index]?.offset ?? 0) : reachedOffset;
          }
          const isComplete = states.every((state, i) => state.offset <= (reached[i] as number));
          const channels = asked.map(({ index }) => ({
            channel: (from[index] as ReadFrom).channel,
            epoch: states[index]?.epoch ?? '',
          }));
          resolve({
            publications: publicationsOf(page, channels),
            channels: states.map((state, i) => ({ state, reachedOffset: reached[i] as number })),
            isComplete,
          });
        },
        (error) => reject(readError(error)),
      );
    });
  }

  range(
    channel: string,
    { from, to, limit, reverse }: HistoryRange,
  ): Promise<{ state: LogState; publications: readonly Publication[] }> {
    const nowMs = this.#options.now();
    const log = this.#logs.get(channel);
    if (log === undefined) {
      return Promise.resolve({ state: this.#logs.stateOf(channel, nowMs), publications: [] });
    }
    const floor = this.#logs.stateOf(channel, nowMs).floor;
    const request = {
      op: 'range',
      channel: log.id,
      from: Math.max(from, floor + 1),
      to,
      limit,
      maxBytes: RANGE_MAX_BYTES,
      reverse,
      nowMs,
    } as const;
    return new Promise((resolve, reject) => {
      this.#storeOrFail().send(
        request,
        (page) => {
          const state = this.#logs.stateOf(channel, nowMs);
          resolve({ state, publications: publicationsOf(page, [{ channel, epoch: state.epoch }]) });
        },
        (error) => reject(readError(error)),
      );
    });
  }

  channels({ prefix, after, limit }: { prefix: string; after: string; limit: number }): Promise<{
    total: number;
    channels: readonly ChannelSummary[];
  }> {
    const nowMs = this.#options.now();
    const names: string[] = [];
    let total = 0;
    for (const log of this.#logs.all()) {
      if (log.rows === 0 || !log.name.startsWith(prefix)) continue;
      total++;
      if (compareNames(log.name, after) > 0) names.push(log.name);
    }
    names.sort(compareNames);
    const summaries = names.slice(0, limit).flatMap((name) => {
      const log = this.#logs.get(name);
      return log === undefined ? [] : [this.#logs.summary(log, nowMs)];
    });
    return Promise.resolve({ total, channels: summaries });
  }

  makeBackup(): Promise<Backup> {
    if (this.#isCopying) {
      return Promise.reject(new RequestError('backup_under_way', 'a backup is being made; one at a time'));
    }
    this.#isCopying = true;
    return new Promise<Backup>((resolve, reject) => {
      this.#storeOrFail().send({ op: 'backup', nowMs: this.#options.now() }, resolve, (error) =>
        reject(storeError('the backup could not be made', error)),
      );
    }).finally(() => {
      this.#isCopying = false;
    });
  }

  health(): EngineHealth {
    const details = {
      history_messages: this.#logs.rows,
      history_bytes: this.#logs.bytes,
      history_channels: this.#logs.size,
      queue_bytes: this.#queueBytes,
      queue_messages: this.#queue.length,
      remembered_ids: this.#receipts.size,
      remembered_ids_evicted: this.#receipts.evicted,
      store_set_aside: this.#setAside ?? null,
    };
    if (this.#fault !== undefined || this.#store === undefined) {
      return { status: 'unhealthy', reason: this.#fault ?? 'the engine is not open', details };
    }
    if (this.#writeFailure !== undefined) {
      return { status: 'degraded', reason: `publishes are not stored: ${this.#writeFailure}`, details };
    }
    return { status: 'healthy', reason: undefined, details };
  }

  async close(): Promise<void> {
    clearInterval(this.#sweepTimer);
    if (this.#isCommitting || this.#queue.length > 0) {
      await new Promise<void>((resolve) => {
        this.#closing = resolve;
      });
    } else this.#closing = () => {};
    await this.#store?.close();
  }

  #sweep(): void {
    if (this.#isSweeping || this.#store === undefined) return;
    const nowMs = this.#options.now();
    this.#receipts.sweep(nowMs, SWEEP_ROWS * 10);
    const forget = this.#channelsToForget(nowMs);
    this.#isSweeping = true;
    this.#store.send(
      {
        op: 'sweep',
        nowMs,
        evictBytes: Math.max(0, this.#logs.bytes - this.#options.maxBytes),
        receiptsBeforeMs: nowMs - this.#options.idempotencyTtlMs,
        forgetChannels: forget,
        maxRows: SWEEP_ROWS,
      },
      (reply: SweepReply) => {
        this.#isSweeping = false;
        this.#noteDeletions('ttl', reply.expired);
        this.#noteDeletions('total_bytes', reply.evicted);
        // In between, commits and reads have their turn.
        if (reply.hasMore && this.#closing === undefined) this.#sweep();
      },
      (error) => {
        // The next sweep tries again; a full disk is told to publishers, by their own commits.
        this.#isSweeping = false;
        this.#options.observer?.commitFailed(error.failure, `sweep: ${error.message}`);
      },
    );
  }

  /** Looks at a few channels at each sweep, for ever round. */
  #channelsToForget(nowMs: number): number[] {
    const forgotten: number[] = [];
    this.#sweepPlace ??= this.#logs.all();
    for (let looked = 0; looked < SWEEP_CHANNELS && forgotten.length < SWEEP_ROWS; looked++) {
      const next = this.#sweepPlace.next();
      if (next.done) {
        this.#sweepPlace = undefined;
        break;
      }
      const log = this.#logs.byId(next.value.id);
      if (log === undefined || log.rows > 0 || log.pending > 0 || this.#watched.has(log.name)) continue;
      if (log.lastPublishedMs > nowMs - this.#options.channelRetentionMs) continue;
      this.#logs.remove(log);
      forgotten.push(log.id);
    }
    return forgotten;
  }

  #noteDeletions(cause: 'count' | 'ttl' | 'total_bytes', deletions: readonly Deletion[]): void {
    let rows = 0;
    for (const deletion of deletions) {
      this.#logs.deleted(deletion);
      rows += deletion.rows;
    }
    if (rows > 0) this.#options.observer?.trimmed(cause, rows);
  }

  #storeOrFail(): StoreClient {
    if (this.#store === undefined) throw new RequestError('engine_unavailable', 'the engine is not open');
    return this.#store;
  }
}

function storeError(what: string, error: StoreError): RequestError {
  return error.failure === 'full'
    ? storageFull(`${what}: ${error.message}`, error)
    : engineUnavailable(what, error);
}

function readError(error: StoreError): RequestError {
  return engineUnavailable('history could not be read', error);
}
