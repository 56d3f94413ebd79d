/**
 * The thread that owns the store. At a checkpoint SQLite stalls for some 20 ms, which must not hold up sockets. Requests
 * are served in the order in which they were posted, so the reply to a read reflects exactly the commits whose replies
 * came before it.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { makeBackupFile } from './backup-file.ts';
import { openStore } from './open-store.ts';
import { isBusy, isCorrupt, isFull } from './sqlite-errors.ts';
import type { StoreFailure, StoreRequest } from './store-protocol.ts';

export interface StoreThreadData {
  readonly directory: string;
  readonly receiptsSinceMs: number;
}

export interface ThreadRequest {
  readonly id: number;
  readonly request: StoreRequest;
}

export type ThreadReply =
  | { readonly id: number; readonly reply: unknown }
  | { readonly id: number; readonly failure: StoreFailure; readonly message: string };

/** Ids of the replies to the opening and to `'close'`. */
export const OPEN_ID = 0;
export const CLOSE_ID = -1;

function failureOf(error: unknown): StoreFailure {
  if (isFull(error)) return 'full';
  return isCorrupt(error) ? 'corrupt' : 'failed';
}

function serve(port: NonNullable<typeof parentPort>): void {
  const { directory, receiptsSinceMs } = workerData as StoreThreadData;
  const post = (message: ThreadReply, transfer: ArrayBuffer[] = []): void =>
    port.postMessage(message, transfer);
  let store: ReturnType<typeof openStore>['store'];
  try {
    const opened = openStore(directory, receiptsSinceMs);
    store = opened.store;
    post({ id: OPEN_ID, reply: opened.opened });
  } catch (error) {
    const message = isBusy(error)
      ? `another process has the store in ${directory} open; one process owns a DATA_DIR`
      : `the store in ${directory} cannot be opened: ${(error as Error).message}`;
    post({ id: OPEN_ID, failure: failureOf(error), message });
    return;
  }
  let isStopping = false;
  let copying = Promise.resolve();
  port.on('message', (message: ThreadRequest | 'close') => {
    if (message === 'close') {
      isStopping = true;
      void copying.then(() => {
        store.close();
        post({ id: CLOSE_ID, reply: undefined });
        port.close();
      });
      return;
    }
    const { id, request } = message;
    const fail = (error: unknown): void =>
      post({ id, failure: failureOf(error), message: (error as Error).message });
    try {
      switch (request.op) {
        case 'commit':
          return post({ id, reply: store.commit(request) });
        case 'read':
        case 'range': {
          const page = request.op === 'read' ? store.reader.read(request) : store.reader.range(request);
          return post({ id, reply: page }, [page.numbers.buffer, page.bodies.buffer]);
        }
        case 'locate':
          return post({ id, reply: store.reader.locate(request) });
        case 'sweep':
          return post({ id, reply: store.sweep(request) });
        case 'backup':
          // A backup takes its time. Other requests are served meanwhile.
          copying = makeBackupFile(directory, request.nowMs, (file) =>
            store.copyTo(file, () => isStopping),
          ).then((reply) => post({ id, reply }), fail);
          return;
      }
    } catch (error) {
      fail(error);
    }
  });
}

if (parentPort !== null) serve(parentPort);
