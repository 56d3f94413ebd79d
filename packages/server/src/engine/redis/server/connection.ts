/**
 * One connection to one Redis server. A connection is used once: when it fails, every call that waits on it is
 * rejected and its owner opens another. Nothing is queued while there is no connection, and nothing is sent twice.
 */
import { ErrorReply, RESP_TYPES } from '@redis/client';
import type { AccessSettings } from './access-settings.ts';
import { type Client, createClient, destroyClient } from './client.ts';
import { ConnectionError, ReplyError } from './redis-errors.ts';
import { labelOf, type ServerAddress } from './server-address.ts';

export type Argument = string | Buffer;
export type BusKind = 'plain' | 'sharded';
export type OnBusMessage = (message: Buffer, name: Buffer) => void;

const BUFFERS = { [RESP_TYPES.BLOB_STRING]: Buffer } as const;
const NO_OPTIONS = {};
/** How often overdue answers are looked for. */
const CHECK_MS = 50;

export class RedisConnection {
  readonly #client: Client;
  readonly #callTimeoutMs: number;
  readonly #onClosed: (error: Error) => void;
  readonly #label: string;
  /** When each call that waits for an answer was sent. Answers come in the same order. */
  #sentAtMs: number[] = [];
  #answered = 0;
  #timer: NodeJS.Timeout | undefined;
  #isOpen = false;
  #closed: Error | undefined;
  /** Reject what waits for a subscription: the library's promises may wait for a socket that is gone. */
  readonly #rejectWaiting = new Set<(reason: Error) => void>();

  private constructor(
    client: Client,
    label: string,
    callTimeoutMs: number,
    onClosed: (error: Error) => void,
  ) {
    this.#client = client;
    this.#label = label;
    this.#callTimeoutMs = callTimeoutMs;
    this.#onClosed = onClosed;
  }

  /** Opens a connection. `onClosed` is called once, when it is lost or closed, but not when opening fails. */
  static async open(
    address: ServerAddress,
    settings: AccessSettings,
    onClosed: (error: Error) => void = () => {},
  ): Promise<RedisConnection> {
    const client = createClient(address, settings);
    const label = labelOf(address);
    const connection = new RedisConnection(client, label, settings.socketTimeoutMs, onClosed);
    client.on('error', (error: Error) => connection.#close(error));
    client.on('end', () => connection.#close(new Error('the server closed the connection')));
    client.on('sharded-channel-moved', () => connection.#close(new Error('a subscription was moved away')));
    const timeout = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => timeout.reject(new Error(`no connection within ${settings.connectTimeoutMs} ms`)),
      settings.connectTimeoutMs,
    );
    try {
      await Promise.race([client.connect(), timeout.promise]);
    } catch (error) {
      const reason = connection.#closed ?? (error as Error);
      connection.#closed ??= reason;
      destroyClient(client);
      throw error instanceof ErrorReply
        ? new ReplyError(error.message, { cause: error })
        : wrap(label, reason);
    } finally {
      clearTimeout(timer);
    }
    if (connection.#closed !== undefined) throw wrap(label, connection.#closed);
    connection.#timer = setInterval(() => connection.#checkAnswers(), CHECK_MS);
    connection.#timer.unref();
    connection.#isOpen = true;
    return connection;
  }

  /** Resolves with the reply, strings as text. Rejects with a `ReplyError` or a `ConnectionError`. */
  call(args: readonly Argument[]): Promise<unknown> {
    return this.#call(args, undefined);
  }

  /** Like `call`, with the reply's strings as bytes. */
  callForBytes(args: readonly Argument[]): Promise<unknown> {
    return this.#call(args, BUFFERS);
  }

  /** Resolves when the server has confirmed all names. The connection serves only subscriptions from then on. */
  async subscribe(kind: BusKind, names: readonly string[], onMessage: OnBusMessage): Promise<void> {
    const subscribed =
      kind === 'plain'
        ? this.#client.subscribe([...names], onMessage, true)
        : this.#client.sSubscribe([...names], onMessage, true);
    await this.#orClosed(subscribed);
  }

  /**
   * Ends subscriptions. `onMessage` must be the listener that subscribed: without it the library would confuse a
   * new subscription that follows at once with the one that ends.
   */
  async unsubscribe(kind: BusKind, names: readonly string[], onMessage: OnBusMessage): Promise<void> {
    const left =
      kind === 'plain'
        ? this.#client.unsubscribe([...names], onMessage, true)
        : this.#client.sUnsubscribe([...names], onMessage, true);
    await this.#orClosed(left);
  }

  /** Closes the connection; calls that wait are rejected. */
  close(reason = 'the connection was closed'): void {
    this.#close(new Error(reason));
  }

  async #call(args: readonly Argument[], typeMapping: typeof BUFFERS | undefined): Promise<unknown> {
    if (this.#closed !== undefined) throw wrap(this.#label, this.#closed);
    this.#sentAtMs.push(performance.now());
    try {
      return await this.#client.sendCommand(
        args as Argument[],
        typeMapping === undefined ? NO_OPTIONS : { typeMapping },
      );
    } catch (error) {
      if (error instanceof ErrorReply) throw new ReplyError(error.message, { cause: error });
      throw wrap(this.#label, this.#closed ?? (error as Error));
    } finally {
      this.#answered++;
      if (this.#answered > 512 || this.#answered === this.#sentAtMs.length) {
        this.#sentAtMs.splice(0, this.#answered);
        this.#answered = 0;
      }
    }
  }

  async #orClosed(promise: Promise<unknown>): Promise<void> {
    const closed = Promise.withResolvers<never>();
    this.#rejectWaiting.add(closed.reject);
    try {
      await Promise.race([promise, closed.promise]);
    } catch (error) {
      if (error instanceof ErrorReply) throw new ReplyError(error.message, { cause: error });
      throw wrap(this.#label, this.#closed ?? (error as Error));
    } finally {
      this.#rejectWaiting.delete(closed.reject);
    }
  }

  #checkAnswers(): void {
    const oldest = this.#sentAtMs[this.#answered];
    if (oldest === undefined || performance.now() - oldest < this.#callTimeoutMs) return;
    this.#close(new Error(`no answer within ${this.#callTimeoutMs} ms`));
  }

  #close(reason: Error): void {
    if (this.#closed !== undefined) return;
    this.#closed = reason;
    clearInterval(this.#timer);
    destroyClient(this.#client);
    for (const reject of this.#rejectWaiting) reject(reason);
    if (this.#isOpen) this.#onClosed(wrap(this.#label, reason));
  }
}

function wrap(label: string, reason: Error): ConnectionError {
  if (reason instanceof ConnectionError) return reason;
  return new ConnectionError(`Redis ${label}: ${reason.message || reason.name}`, { cause: reason });
}
