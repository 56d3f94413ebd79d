/**
 * The embedded engine: one process, durable on disk, nothing beside it. Publishes go through `commit-queue.ts`,
 * reads through `history-reader.ts`, deletions through `sweeper.ts`. All three send requests to the store thread.
 */
import { randomUUID } from 'node:crypto';
import type { Position } from '@message-push/protocol';
import type { Backup, BackupMaker } from '../../core/backups.ts';
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
import { engineClosed } from '../refusals.ts';
import { ChannelLogs } from './channel-logs.ts';
import { CommitQueue } from './commit-queue.ts';
import type { EmbeddedEngineOptions } from './embedded-options.ts';
import { HistoryReader } from './history-reader.ts';
import { Receipts } from './receipts.ts';
import { StoreClient } from './store/store-client.ts';
import { storeRefusal } from './store-refusals.ts';
import { Sweeper } from './sweeper.ts';

/** What there is once the store is open. */
interface OpenParts {
  readonly store: StoreClient;
  readonly queue: CommitQueue;
  readonly history: HistoryReader;
  readonly sweeper: Sweeper;
}

export class EmbeddedEngine implements Engine, BackupMaker {
  readonly kind = 'embedded';
  readonly #options: EmbeddedEngineOptions;
  readonly #logs: ChannelLogs;
  readonly #receipts: Receipts;
  readonly #watched = new Set<string>();
  #open: OpenParts | undefined;
  #isClosing = false;
  #isBackingUp = false;
  #fault: string | undefined;
  /** Name of the file that could not be read at opening. */
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
    const options = this.#options;
    const { directory, idempotencyTtlMs, now, observer } = options;
    const { client: store, opened } = await StoreClient.open(
      { directory, receiptsSinceMs: now() - idempotencyTtlMs },
      (error) => {
        this.#fault = error.message;
        observer?.faulted(error.message);
      },
    );
    const logs = this.#logs;
    const receipts = this.#receipts;
    logs.load(opened.channels);
    receipts.load(opened.receipts);
    if (opened.setAside !== undefined) {
      this.#setAside = opened.setAside;
      observer?.storeSetAside(opened.setAside);
    }
    const announce = (publications: readonly Publication[]): void => listener.onPublications(publications);
    const isWatched = (channel: string): boolean => this.#watched.has(channel);
    this.#open = {
      store,
      queue: new CommitQueue({ options, store, logs, receipts, lastSeq: opened.lastSeq, announce }),
      history: new HistoryReader({ store, logs, now }),
      sweeper: new Sweeper({ options, store, logs, receipts, isWatched }),
    };
    this.#open.sweeper.start();
  }

  newConnectionId(): string {
    return randomUUID();
  }

  publish(draft: Draft): Promise<Receipt> {
    if (this.#fault !== undefined) {
      return Promise.reject(new RequestError('engine_unavailable', this.#fault));
    }
    if (this.#open === undefined || this.#isClosing) return Promise.reject(engineClosed());
    return this.#open.queue.publish(draft);
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
    return this.#parts().history.locate(channel, start);
  }

  async read(from: readonly ReadFrom[], maxBytes: number): Promise<HistoryPage> {
    return this.#parts().history.read(from, maxBytes);
  }

  async range(
    channel: string,
    range: HistoryRange,
  ): Promise<{ state: LogState; publications: readonly Publication[] }> {
    return this.#parts().history.range(channel, range);
  }

  channels(query: { prefix: string; after: string; limit: number }): Promise<{
    total: number;
    channels: readonly ChannelSummary[];
  }> {
    return Promise.resolve(this.#logs.list(query, this.#options.now()));
  }

  async makeBackup(): Promise<Backup> {
    if (this.#isBackingUp) {
      throw new RequestError('backup_under_way', 'a backup is already being made');
    }
    const { store } = this.#parts();
    this.#isBackingUp = true;
    try {
      return await new Promise<Backup>((resolve, reject) => {
        store.send({ op: 'backup', nowMs: this.#options.now() }, resolve, (error) =>
          reject(storeRefusal('the backup could not be made', error)),
        );
      });
    } finally {
      this.#isBackingUp = false;
    }
  }

  health(): EngineHealth {
    const queue = this.#open?.queue;
    const details = {
      history_messages: this.#logs.rows,
      history_bytes: this.#logs.bytes,
      history_channels: this.#logs.size,
      queue_bytes: queue?.bytes ?? 0,
      queue_messages: queue?.messages ?? 0,
      remembered_ids: this.#receipts.size,
      remembered_ids_evicted: this.#receipts.evicted,
      store_set_aside: this.#setAside ?? null,
    };
    if (this.#fault !== undefined || queue === undefined) {
      return { status: 'unhealthy', reason: this.#fault ?? 'the engine is not open', details };
    }
    if (queue.failure !== undefined) {
      return { status: 'degraded', reason: `publishes are not stored: ${queue.failure}`, details };
    }
    return { status: 'healthy', reason: undefined, details };
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    if (this.#open === undefined) return;
    const { queue, store, sweeper } = this.#open;
    sweeper.stop();
    await queue.settled();
    await store.close();
  }

  #parts(): OpenParts {
    if (this.#open === undefined) throw new RequestError('engine_unavailable', 'the engine is not open');
    return this.#open;
  }
}
