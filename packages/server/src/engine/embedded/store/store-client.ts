/** The engine's end of the store thread: sends requests, and hands on replies in the order in which they come. */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { OpenReply, StoreFailure, StoreReplies, StoreRequest } from './store-protocol.ts';
import { CLOSE_ID, OPEN_ID, type StoreThreadData, type ThreadReply } from './store-thread.ts';

export class StoreError extends Error {
  readonly failure: StoreFailure;

  constructor(failure: StoreFailure, message: string) {
    super(message);
    this.name = 'StoreError';
    this.failure = failure;
  }
}

interface Waiting {
  /** Called before any later reply is handled, so that the state that it sees is that of the reply. */
  readonly onReply: (reply: never) => void;
  readonly onFailure: (error: StoreError) => void;
}

export class StoreClient {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = OPEN_ID;
  #fault: StoreError | undefined;

  private constructor(worker: Worker, onFault: (error: StoreError) => void) {
    this.#worker = worker;
    const fail = (message: string): void => {
      if (this.#fault !== undefined) return;
      this.#fault = new StoreError('failed', message);
      for (const waiting of this.#waiting.values()) waiting.onFailure(this.#fault);
      this.#waiting.clear();
      onFault(this.#fault);
    };
    worker.on('message', (message: ThreadReply) => this.#settle(message));
    worker.on('error', (error) =>
      fail(`the store thread failed: ${error instanceof Error ? error.message : String(error)}`),
    );
    worker.on('exit', () => {
      if (!this.#isClosed) fail('the store thread ended');
    });
  }

  #isClosed = false;

  /** Resolves with the client and what the store holds. Rejects with a sentence for the operator. */
  static async open(
    data: StoreThreadData,
    onFault: (error: StoreError) => void,
  ): Promise<{ client: StoreClient; opened: OpenReply }> {
    // The thread runs the same kind of file as this one: TypeScript in tests, JavaScript after the build.
    const entry = new URL(`./store-thread${extname(import.meta.url)}`, import.meta.url);
    const worker = new Worker(entry, { workerData: data, execArgv: [], name: 'store' });
    const client = new StoreClient(worker, onFault);
    try {
      const opened = await new Promise<OpenReply>((resolve, reject) => {
        client.#waiting.set(OPEN_ID, { onReply: resolve, onFailure: reject });
      });
      return { client, opened };
    } catch (error) {
      client.#isClosed = true;
      await worker.terminate();
      throw error;
    }
  }

  send<R extends StoreRequest>(
    request: R,
    onReply: (reply: StoreReplies[R['op']]) => void,
    onFailure: (error: StoreError) => void,
    transfer: ArrayBuffer[] = [],
  ): void {
    if (this.#fault !== undefined) {
      onFailure(this.#fault);
      return;
    }
    const id = ++this.#lastId;
    this.#waiting.set(id, { onReply, onFailure });
    this.#worker.postMessage({ id, request }, transfer);
  }

  async close(): Promise<void> {
    if (this.#fault !== undefined || this.#isClosed) return;
    this.#isClosed = true;
    await new Promise<void>((resolve, reject) => {
      this.#waiting.set(CLOSE_ID, { onReply: resolve, onFailure: reject });
      this.#worker.postMessage('close');
    });
    await this.#worker.terminate();
  }

  #settle(message: ThreadReply): void {
    const waiting = this.#waiting.get(message.id);
    if (waiting === undefined) return;
    this.#waiting.delete(message.id);
    if ('failure' in message) waiting.onFailure(new StoreError(message.failure, message.message));
    else waiting.onReply(message.reply as never);
  }
}
