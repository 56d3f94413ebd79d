/**
 * This node's subscriptions at one server, on a connection of their own. Whenever it is lost another one is opened
 * and subscribes everything again. Pub/sub does not repeat anything: after every `onConnected` the owner has to find
 * out what was missed.
 */
import { Backoff } from './backoff.ts';
import type { BusKind, OnBusMessage, RedisConnection } from './connection.ts';
import { ConnectionError, ReplyError } from './redis-errors.ts';
import { hashSlotOf } from './slots.ts';
import { within } from './within.ts';

export interface ListenerOptions {
  readonly open: (onClosed: (error: Error) => void) => Promise<RedisConnection>;
  readonly busKind: () => BusKind;
  /** Time for which `subscribe` waits for a connection, ms. */
  readonly waitMs: number;
  readonly random: () => number;
  readonly onMessage: (name: string, message: Buffer) => void;
  /** A new connection has subscribed everything. */
  readonly onConnected: () => void;
  /** These names moved to another server; they are no longer subscribed here. */
  readonly onMoved: (names: readonly string[]) => void;
}

/** Names of one SUBSCRIBE, and SSUBSCRIBEs under way at once. More would be a burst of replies for both ends. */
const CHUNK = 500;

export class Listener {
  readonly #options: ListenerOptions;
  readonly #names = new Set<string>();
  readonly #backoff: Backoff;
  readonly #onMessage: OnBusMessage;
  #connection: RedisConnection | undefined;
  #connected = Promise.withResolvers<void>();
  #retryTimer: NodeJS.Timeout | undefined;
  #isConnecting = false;
  #isStopped = false;
  /** Number of connections that were lost. */
  losses = 0;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.random);
    this.#onMessage = (message, name) => options.onMessage(name.toString(), message);
  }

  get isConnected(): boolean {
    return this.#connection !== undefined;
  }

  get names(): ReadonlySet<string> {
    return this.#names;
  }

  /** Connects. Rejects when the first connection cannot be opened. */
  async start(): Promise<void> {
    this.#isStopped = false;
    clearTimeout(this.#retryTimer);
    if (this.#connection !== undefined || this.#isConnecting) return;
    this.#isConnecting = true;
    try {
      await this.#connect();
    } finally {
      this.#isConnecting = false;
    }
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#retryTimer);
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.close('the listener stops');
  }

  /** Drops the connection; another one is opened. */
  reconnect(reason: string): void {
    this.#connection?.close(reason);
  }

  /**
   * Resolves when whatever is published from now on will be received. Rejects with a `ReplyError` if the server
   * does not own the names.
   */
  async subscribe(names: readonly string[]): Promise<void> {
    for (const name of names) this.#names.add(name);
    const connection = this.#connection;
    if (connection !== undefined) {
      try {
        await this.#subscribeOn(connection, names);
        return;
      } catch (error) {
        if (!(error instanceof ConnectionError)) {
          for (const name of names) this.#names.delete(name);
          throw error;
        }
      }
    }
    // The next connection subscribes them with all others.
    const { waitMs } = this.#options;
    await within(waitMs, this.#connected.promise, `the bus could not be subscribed within ${waitMs} ms`);
  }

  unsubscribe(names: readonly string[]): void {
    for (const name of names) this.#names.delete(name);
    const connection = this.#connection;
    if (connection === undefined) return;
    for (const chunk of this.#chunksOf(names)) {
      connection.unsubscribe(this.#options.busKind(), chunk, this.#onMessage).catch(() => undefined);
    }
  }

  async #connect(): Promise<void> {
    let isLost = false;
    const connection = await this.#options.open(() => {
      isLost = true;
      if (this.#connection === connection) this.#lose();
    });
    try {
      const moved: string[] = [];
      const done = new Set<string>();
      // Names that are added meanwhile wait for this connection too.
      for (;;) {
        const names = [...this.#names].filter((name) => !done.has(name));
        if (names.length === 0) break;
        await this.#subscribeOn(connection, names, moved);
        for (const name of names) done.add(name);
      }
      if (isLost || this.#isStopped) throw new ConnectionError('the connection was lost while it was opened');
      for (const name of moved) this.#names.delete(name);
      this.#connection = connection;
      this.#backoff.succeeded();
      this.#connected.resolve();
      this.#connected = Promise.withResolvers();
      this.#options.onConnected();
      if (moved.length > 0) this.#options.onMoved(moved);
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  #lose(): void {
    this.#connection = undefined;
    this.losses++;
    if (!this.#isStopped) this.retry();
  }

  /** Connects after a pause, again and again until it succeeds. */
  retry(): void {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => {
      this.start().catch(() => {
        if (!this.#isStopped) this.retry();
      });
    }, this.#backoff.next());
  }

  /** Names that the server does not own are put into `moved`; without it they are an error. */
  async #subscribeOn(connection: RedisConnection, names: readonly string[], moved?: string[]): Promise<void> {
    const kind = this.#options.busKind();
    const chunks = this.#chunksOf(names);
    const atOnce = kind === 'plain' ? 1 : CHUNK;
    for (let i = 0; i < chunks.length; i += atOnce) {
      await Promise.all(
        chunks.slice(i, i + atOnce).map((chunk) =>
          connection.subscribe(kind, chunk, this.#onMessage).catch((error: unknown) => {
            if (moved === undefined || !(error instanceof ReplyError)) throw error;
            moved.push(...chunk);
          }),
        ),
      );
    }
  }

  /** Names that one command may have. Sharded pub/sub takes names of one slot at a time. */
  #chunksOf(names: readonly string[]): string[][] {
    if (this.#options.busKind() === 'plain') {
      const chunks: string[][] = [];
      for (let i = 0; i < names.length; i += CHUNK) chunks.push(names.slice(i, i + CHUNK));
      return chunks;
    }
    return [...Map.groupBy(names, hashSlotOf).values()];
  }
}
