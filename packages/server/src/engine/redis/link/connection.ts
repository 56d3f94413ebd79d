/**
 * One connection to one Redis server: the only file that knows the client library. A connection is used once: when
 * it fails, every call that waits on it is rejected and its owner opens another. Nothing is queued while there is
 * none, and nothing is sent twice.
 */
import { readFileSync } from 'node:fs';
import { ErrorReply, RESP_TYPES, RedisClient } from '@redis/client';

export interface ServerAddress {
  readonly host: string;
  readonly port: number;
}

export interface ConnectionSettings {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly database: number;
  readonly tls?:
    | { readonly ca?: string; readonly cert?: string; readonly key?: string; readonly verify: boolean }
    | undefined;
  readonly connectTimeoutMs: number;
  /** A call that is not answered within this many ms fails the connection. */
  readonly callTimeoutMs: number;
  /** For `CLIENT LIST`. */
  readonly name: string;
}

export type Argument = string | Buffer;

/** The server refused a command: the connection is as good as before. */
export class ReplyError extends Error {
  /** First word: `MOVED`, `READONLY`, `OOM` … */
  readonly code: string;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ReplyError';
    this.code = message.split(' ', 1)[0] ?? '';
  }
}

/** There is no answer: what was asked for may have been done or not. */
export class ConnectionError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ConnectionError';
  }
}

const BUFFERS = { [RESP_TYPES.BLOB_STRING]: Buffer } as const;

export class RedisConnection {
  readonly #client: ReturnType<typeof createPlainClient>;
  readonly #callTimeoutMs: number;
  readonly #onClosed: (error: Error) => void;
  readonly #label: string;
  /** When the calls that wait for an answer were sent: answers come in the same order. */
  #sentAtMs: number[] = [];
  #answered = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed: Error | undefined;
  /** Rejects all that waits: a library's promise may wait for a socket that is gone. */
  readonly #fail: PromiseWithResolvers<never>;

  private constructor(
    client: ReturnType<typeof createPlainClient>,
    label: string,
    callTimeoutMs: number,
    onClosed: (error: Error) => void,
  ) {
    this.#client = client;
    this.#label = label;
    this.#callTimeoutMs = callTimeoutMs;
    this.#onClosed = onClosed;
    this.#fail = Promise.withResolvers();
    this.#fail.promise.catch(() => undefined);
  }

  /** `onClosed` is called once, when the connection is lost or closed; not when opening fails. */
  static async open(
    address: ServerAddress,
    settings: ConnectionSettings,
    onClosed: (error: Error) => void = () => {},
  ): Promise<RedisConnection> {
    const client = createPlainClient(address, settings);
    const label = `${address.host}:${address.port}`;
    const connection = new RedisConnection(client, label, settings.callTimeoutMs, onClosed);
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
      destroy(client);
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

  #isOpen = false;

  get isOpen(): boolean {
    return this.#isOpen && this.#closed === undefined;
  }

  get waiting(): number {
    return this.#sentAtMs.length - this.#answered;
  }

  /** Resolves with the reply, in which strings are strings; rejects with a `ReplyError` or a `ConnectionError`. */
  call(args: readonly Argument[]): Promise<unknown> {
    return this.#call(args, undefined);
  }

  /** The same with strings as bytes. */
  callForBytes(args: readonly Argument[]): Promise<unknown> {
    return this.#call(args, BUFFERS);
  }

  /** Resolves when the server has confirmed all. The connection serves only subscriptions then. */
  async subscribe(
    kind: 'plain' | 'sharded',
    names: readonly string[],
    onMessage: (message: Buffer, name: Buffer) => void,
  ): Promise<void> {
    const subscribed =
      kind === 'plain'
        ? this.#client.subscribe([...names], onMessage, true)
        : this.#client.sSubscribe([...names], onMessage, true);
    await this.#orClosed(subscribed);
  }

  /** `onMessage` as it was given: without it the library would take a subscription that follows at once for the one that ends. */
  async unsubscribe(
    kind: 'plain' | 'sharded',
    names: readonly string[],
    onMessage: (message: Buffer, name: Buffer) => void,
  ): Promise<void> {
    const left =
      kind === 'plain'
        ? this.#client.unsubscribe([...names], onMessage, true)
        : this.#client.sUnsubscribe([...names], onMessage, true);
    await this.#orClosed(left);
  }

  /** What waits is rejected. */
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
    try {
      await Promise.race([promise, this.#fail.promise]);
    } catch (error) {
      if (error instanceof ErrorReply) throw new ReplyError(error.message, { cause: error });
      throw wrap(this.#label, this.#closed ?? (error as Error));
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
    destroy(this.#client);
    this.#fail.reject(reason);
    if (this.#isOpen) this.#onClosed(wrap(this.#label, reason));
  }
}

const CHECK_MS = 50;
const NO_OPTIONS = {};

/** Made once: `createClient` would build a class with all commands for every connection, which takes tens of milliseconds. */
const newClient = RedisClient.factory({});

function createPlainClient(address: ServerAddress, settings: ConnectionSettings) {
  const { tls } = settings;
  const common = {
    host: address.host,
    port: address.port,
    connectTimeout: settings.connectTimeoutMs,
    reconnectStrategy: false as const,
  };
  return newClient({
    socket:
      tls === undefined
        ? common
        : {
            ...common,
            tls: true as const,
            rejectUnauthorized: tls.verify,
            ...(tls.ca === undefined ? {} : { ca: readFileSync(tls.ca) }),
            ...(tls.cert === undefined ? {} : { cert: readFileSync(tls.cert) }),
            ...(tls.key === undefined ? {} : { key: readFileSync(tls.key) }),
          },
    ...(settings.username === undefined ? {} : { username: settings.username }),
    ...(settings.password === undefined ? {} : { password: settings.password }),
    database: settings.database,
    name: settings.name,
    disableOfflineQueue: true,
    disableClientInfo: true,
    maintNotifications: 'disabled',
    // The deadline is the connection's; a timer for each call would cost more than the call.
    commandOptions: { timeout: 0 },
  });
}

function destroy(client: ReturnType<typeof createPlainClient>): void {
  // The library throws when it is closed already.
  if (client.isOpen) client.destroy();
}

function wrap(label: string, reason: Error): ConnectionError {
  if (reason instanceof ConnectionError) return reason;
  return new ConnectionError(`Redis ${label}: ${reason.message || reason.name}`, { cause: reason });
}
