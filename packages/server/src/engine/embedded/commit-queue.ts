/**
 * Group commit: publishes that arrive while a commit is under way go together in the next one.
 *
 * One commit is under way at a time. Its offsets are given out when it is sent; they become visible, are announced
 * and are acknowledged when the store says that it is on disk. If it fails, nothing of it happened.
 */
import { RequestError } from '../../core/errors.ts';
import type { Draft, Publication, Receipt } from '../../core/message.ts';
import { engineOverloaded, idConflict } from '../refusals.ts';
import type { ChannelLogs } from './channel-logs.ts';
import { type Batch, buildBatch, settleBatch, undoBatch } from './commit-batch.ts';
import type { EmbeddedEngineOptions } from './embedded-options.ts';
import type { Receipts } from './receipts.ts';
import type { StoreClient, StoreError } from './store/store-client.ts';
import type { CommitReply } from './store/store-protocol.ts';
import { storeRefusal } from './store-refusals.ts';

/** One commit stays below some 10 ms of the store thread and some MB of its memory. */
const MAX_BATCH_DRAFTS = 1000;
const MAX_BATCH_BYTES = 4 * 1024 * 1024;

export interface CommitQueueParts {
  readonly options: Pick<
    EmbeddedEngineOptions,
    'groupCommit' | 'maxChannels' | 'maxQueueBytes' | 'now' | 'observer'
  >;
  readonly store: StoreClient;
  readonly logs: ChannelLogs;
  readonly receipts: Receipts;
  /** Order number of the newest row in the store. */
  readonly lastSeq: number;
  readonly announce: (publications: readonly Publication[]) => void;
}

interface Waiting {
  readonly draft: Draft;
  readonly resolve: (receipt: Receipt) => void;
  readonly reject: (error: RequestError) => void;
}

export class CommitQueue {
  readonly #parts: CommitQueueParts;
  #waiting: Waiting[] = [];
  #bytes = 0;
  /** Publishes whose id the publisher chose, queued or under way. */
  readonly #idsUnderWay = new Map<string, { fingerprint: string; receipt: Promise<Receipt> }>();
  #lastSeq: number;
  #isCommitting = false;
  #isCommitScheduled = false;
  #failure: string | undefined;
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(parts: CommitQueueParts) {
    this.#parts = parts;
    this.#lastSeq = parts.lastSeq;
  }

  get messages(): number {
    return this.#waiting.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Why the last commit failed; `undefined` once one has succeeded. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** See `Engine.publish`. */
  publish(draft: Draft): Promise<Receipt> {
    const refusal = this.#refusal(draft);
    if (refusal !== undefined) return Promise.reject(refusal);
    return draft.fingerprint === undefined
      ? this.#enqueue(draft)
      : this.#publishOnce(draft, draft.fingerprint);
  }

  /** Resolves when everything that was accepted is answered. */
  async settled(): Promise<void> {
    if (!this.#isCommitting && this.#waiting.length === 0) return;
    this.#idle ??= Promise.withResolvers();
    await this.#idle.promise;
  }

  #refusal({ message }: Draft): RequestError | undefined {
    const { logs, options } = this.#parts;
    if (this.#bytes > 0 && this.#bytes + message.json.length > options.maxQueueBytes) {
      return engineOverloaded(this.#bytes, options.maxQueueBytes);
    }
    if (logs.size >= options.maxChannels && message.channels.some((c) => !logs.get(c))) {
      return new RequestError(
        'storage_full',
        `there are already ${logs.size} channels; MAX_CHANNELS allows no more`,
        { retryAfterSeconds: 60 },
      );
    }
    return undefined;
  }

  /** Stores a message whose publisher may repeat it. A repeat is answered with the first result. */
  #publishOnce(draft: Draft, fingerprint: string): Promise<Receipt> {
    const { options, receipts } = this.#parts;
    const { id } = draft.message;
    const underWay = this.#idsUnderWay.get(id);
    const known = underWay ?? receipts.find(id, options.now());
    if (known !== undefined && known.fingerprint !== fingerprint) return Promise.reject(idConflict(id));
    if (underWay !== undefined) return underWay.receipt.then((first) => ({ ...first, isRepeat: true }));
    if (known !== undefined && 'places' in known) {
      const { places, timeMs } = known;
      return Promise.resolve({ messageId: id, places, timeMs, isRepeat: true, ack: 'stored' });
    }
    const receipt = this.#enqueue(draft).finally(() => this.#idsUnderWay.delete(id));
    this.#idsUnderWay.set(id, { fingerprint, receipt });
    return receipt;
  }

  #enqueue(draft: Draft): Promise<Receipt> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ draft, resolve, reject });
      this.#bytes += draft.message.json.length;
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
    if (this.#isCommitting || this.#waiting.length === 0) return;
    const { logs, options, store } = this.#parts;
    const taken = this.#takeBatch();
    const batch = buildBatch(
      taken.map((w) => w.draft),
      logs,
      { firstSeq: this.#lastSeq + 1, nowMs: options.now() },
    );
    this.#isCommitting = true;
    if (batch.rows === 0) {
      // Messages for single connections: nothing to store, the same way from here on.
      this.#acknowledge(batch, taken);
      this.#finishCommit();
      return;
    }
    const { request } = batch;
    store.send(
      request,
      (reply) => {
        this.#settle(batch, taken, reply);
        this.#finishCommit();
      },
      (error) => {
        this.#undo(batch, taken, error);
        this.#finishCommit();
      },
      [request.numbers.buffer, request.bodies.buffer],
    );
  }

  #takeBatch(): Waiting[] {
    const limit = this.#parts.options.groupCommit ? MAX_BATCH_DRAFTS : 1;
    let count = 0;
    let bytes = 0;
    for (; count < this.#waiting.length && count < limit; count++) {
      const size = (this.#waiting[count] as Waiting).draft.message.json.length;
      if (count > 0 && bytes + size > MAX_BATCH_BYTES) break;
      bytes += size;
    }
    this.#bytes -= bytes;
    if (count === this.#waiting.length) {
      const all = this.#waiting;
      this.#waiting = [];
      return all;
    }
    return this.#waiting.splice(0, count);
  }

  #settle(batch: Batch, taken: readonly Waiting[], { seconds, deletions }: CommitReply): void {
    const { logs, options } = this.#parts;
    this.#lastSeq += batch.rows;
    this.#failure = undefined;
    settleBatch(batch, logs);
    options.observer?.committed(taken.length, seconds);
    const trimmedRows = logs.deleted(deletions);
    if (trimmedRows > 0) options.observer?.trimmed('count', trimmedRows);
    this.#acknowledge(batch, taken);
  }

  #undo(batch: Batch, taken: readonly Waiting[], error: StoreError): void {
    undoBatch(batch, this.#parts.logs);
    this.#failure = error.message;
    this.#parts.options.observer?.commitFailed(error.failure, error.message);
    for (const { reject } of taken) reject(storeRefusal('the message could not be stored', error));
  }

  #finishCommit(): void {
    this.#isCommitting = false;
    if (this.#waiting.length > 0) this.#commitNext();
    else this.#idle?.resolve();
  }

  /** Announces before it acknowledges, so that a publisher's next step finds its message delivered. */
  #acknowledge(batch: Batch, taken: readonly Waiting[]): void {
    const { announce, receipts } = this.#parts;
    // Watched or not: within one process the listener knows that sooner than the engine.
    announce(
      batch.placed.map(
        ({ draft, places, order }): Publication => ({ message: draft.message, places, order }),
      ),
    );
    for (let i = 0; i < taken.length; i++) {
      const { draft, resolve } = taken[i] as Waiting;
      const { places } = batch.placed[i] as Batch['placed'][number];
      const { id, timeMs } = draft.message;
      if (draft.fingerprint !== undefined) {
        receipts.remember(id, { fingerprint: draft.fingerprint, places, timeMs });
      }
      resolve({ messageId: id, places, timeMs, isRepeat: false, ack: 'stored' });
    }
  }
}
