/**
 * Once a second, has `store/store.ts` delete what has expired, what is above the bound of all history, receipts that
 * are too old, and channels that have been quiet for longer than they are remembered. Each step is small, so that
 * commits and reads have their turn in between.
 */
import type { ChannelLog, ChannelLogs } from './channel-logs.ts';
import type { EmbeddedEngineOptions, TrimCause } from './embedded-options.ts';
import type { Receipts } from './receipts.ts';
import type { StoreClient } from './store/store-client.ts';
import type { Deletion, SweepReply } from './store/store-protocol.ts';

const INTERVAL_MS = 1000;
const MAX_ROWS = 500;
const MAX_RECEIPTS = 5000;
/** Channels that one sweep looks at. */
const MAX_CHANNELS = 2000;

export interface SweeperParts {
  readonly options: Pick<
    EmbeddedEngineOptions,
    'channelRetentionMs' | 'idempotencyTtlMs' | 'maxBytes' | 'now' | 'observer'
  >;
  readonly store: StoreClient;
  readonly logs: ChannelLogs;
  readonly receipts: Receipts;
  /** Watched channels are remembered, however long they are quiet. */
  readonly isWatched: (channel: string) => boolean;
}

export class Sweeper {
  readonly #parts: SweeperParts;
  #timer: NodeJS.Timeout | undefined;
  #isSweeping = false;
  #isStopped = false;
  /** Where the next sweep goes on looking for channels to forget. */
  #cursor: Iterator<ChannelLog> | undefined;

  constructor(parts: SweeperParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#timer = setInterval(() => this.#sweep(), INTERVAL_MS);
    this.#timer.unref();
  }

  stop(): void {
    this.#isStopped = true;
    clearInterval(this.#timer);
  }

  #sweep(): void {
    if (this.#isSweeping) return;
    const { options, store, logs, receipts } = this.#parts;
    const nowMs = options.now();
    receipts.sweep(nowMs, MAX_RECEIPTS);
    const forgetChannels = this.#forgetChannels(nowMs);
    this.#isSweeping = true;
    store.send(
      {
        op: 'sweep',
        nowMs,
        evictBytes: Math.max(0, logs.bytes - options.maxBytes),
        receiptsBeforeMs: nowMs - options.idempotencyTtlMs,
        forgetChannels,
        maxRows: MAX_ROWS,
      },
      (reply: SweepReply) => {
        this.#isSweeping = false;
        this.#noteDeletions('ttl', reply.expired);
        this.#noteDeletions('total_bytes', reply.evicted);
        if (reply.hasMore && !this.#isStopped) this.#sweep();
      },
      (error) => {
        // The next sweep tries again. Publishers learn of a full disk by their own commits.
        this.#isSweeping = false;
        options.observer?.commitFailed(error.failure, `sweep: ${error.message}`);
      },
    );
  }

  /** Takes channels that nobody needs out of the logs, from the next slice of all channels, round-robin. */
  #forgetChannels(nowMs: number): number[] {
    const { logs } = this.#parts;
    const forgotten: number[] = [];
    this.#cursor ??= logs.all();
    for (let looked = 0; looked < MAX_CHANNELS && forgotten.length < MAX_ROWS; looked++) {
      const next = this.#cursor.next();
      if (next.done) {
        this.#cursor = undefined;
        break;
      }
      const log = logs.byId(next.value.id);
      if (log === undefined || !this.#isForgettable(log, nowMs)) continue;
      logs.remove(log);
      forgotten.push(log.id);
    }
    return forgotten;
  }

  #isForgettable({ name, rows, pending, lastPublishedMs }: ChannelLog, nowMs: number): boolean {
    const { isWatched, options } = this.#parts;
    if (rows > 0 || pending > 0 || isWatched(name)) return false;
    return lastPublishedMs <= nowMs - options.channelRetentionMs;
  }

  #noteDeletions(cause: TrimCause, deletions: readonly Deletion[]): void {
    const rows = this.#parts.logs.deleted(deletions);
    if (rows > 0) this.#parts.options.observer?.trimmed(cause, rows);
  }
}
