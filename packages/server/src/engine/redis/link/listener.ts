/**
 * A node's ear at one server: a connection that only subscribes, made anew whenever it is lost, with all that is
 * subscribed. Pub/sub forgets: after every `onHearing` its owner has to find out what was missed.
 */

import { slotOf } from '../log/keys.ts';
import { Backoff } from './backoff.ts';
import { ConnectionError, type RedisConnection, ReplyError } from './connection.ts';

export interface ListenerOptions {
  readonly open: (onClosed: (error: Error) => void) => Promise<RedisConnection>;
  readonly busKind: () => 'plain' | 'sharded';
  /** How long `subscribe` waits for a connection, ms. */
  readonly waitMs: number;
  readonly random: () => number;
  readonly onMessage: (name: string, message: Buffer) => void;
  /** Everything is subscribed on a new connection. */
  readonly onHearing: () => void;
  /** The server has these no more: another one does. They are subscribed no longer. */
  readonly onMoved: (names: readonly string[]) => void;
}

/** Names of one SUBSCRIBE, and SSUBSCRIBEs under way at once: a reply of either is a burst for both ends. */
const CHUNK = 500;

export class Listener {
  readonly #options: ListenerOptions;
  readonly #names = new Set<string>();
  readonly #backoff: Backoff;
  readonly #onMessage: (message: Buffer, name: Buffer) => void;
  #connection: RedisConnection | undefined;
  #hearing = Promise.withResolvers<void>();
  #retryTimer: NodeJS.Timeout | undefined;
  #isConnecting = false;
  #isStopped = false;
  /** Connections that were lost. */
  losses = 0;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.random);
    this.#onMessage = (message, name) => options.onMessage(name.toString(), message);
  }

  get isHearing(): boolean {
    return this.#connection !== undefined;
  }

  get names(): ReadonlySet<string> {
    return this.#names;
  }

  /** Connects; fails when the first connection cannot be made. */
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

  /** Drops the connection; another one is made. */
  reconnect(reason: string): void {
    this.#connection?.close(reason);
  }

  /** Resolves when what is published from now on will be heard. Rejects with a `ReplyError` when the server has them not. */
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
    // The next connection brings them with all others.
    const { waitMs } = this.#options;
    await within(waitMs, this.#hearing.promise, `the bus was not heard within ${waitMs} ms`);
  }

  unsubscribe(names: readonly string[]): void {
    for (const name of names) this.#names.delete(name);
    const connection = this.#connection;
    if (connection === undefined) return;
    for (const group of this.#groups(names)) {
      connection.unsubscribe(this.#options.busKind(), group, this.#onMessage).catch(() => undefined);
    }
  }

  async #connect(): Promise<void> {
    let isLost = false;
    const connection = await this.#options.open((error) => {
      isLost = true;
      if (this.#connection === connection) this.#lose(error);
    });
    try {
      const moved: string[] = [];
      const done = new Set<string>();
      // Whoever subscribes meanwhile waits for this connection too.
      for (;;) {
        const names = [...this.#names].filter((name) => !done.has(name));
        if (names.length === 0) break;
        await this.#subscribeOn(connection, names, moved);
        for (const name of names) done.add(name);
      }
      if (isLost || this.#isStopped) throw new ConnectionError('the connection was lost while it was made');
      for (const name of moved) this.#names.delete(name);
      this.#connection = connection;
      this.#backoff.succeeded();
      this.#hearing.resolve();
      this.#hearing = Promise.withResolvers();
      this.#options.onHearing();
      if (moved.length > 0) this.#options.onMoved(moved);
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  #lose(_error: Error): void {
    this.#connection = undefined;
    this.losses++;
    if (!this.#isStopped) this.retry();
  }

  /** Connects after a pause, for ever. */
  retry(): void {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => {
      this.start().catch(() => {
        if (!this.#isStopped) this.retry();
      });
    }, this.#backoff.next());
  }

  /** With `moved`, names that the server has not are put there; without, they are an error. */
  async #subscribeOn(connection: RedisConnection, names: readonly string[], moved?: string[]): Promise<void> {
    const kind = this.#options.busKind();
    const groups = this.#groups(names);
    const atOnce = kind === 'plain' ? 1 : CHUNK;
    for (let i = 0; i < groups.length; i += atOnce) {
      await Promise.all(
        groups.slice(i, i + atOnce).map((group) =>
          connection.subscribe(kind, group, this.#onMessage).catch((error: unknown) => {
            if (moved === undefined || !(error instanceof ReplyError)) throw error;
            moved.push(...group);
          }),
        ),
      );
    }
  }

  /** Sharded pub/sub takes names of one slot at a time. */
  #groups(names: readonly string[]): string[][] {
    if (this.#options.busKind() === 'plain') {
      const groups: string[][] = [];
      for (let i = 0; i < names.length; i += CHUNK) groups.push(names.slice(i, i + CHUNK));
      return groups;
    }
    return [...Map.groupBy(names, slotOf).values()];
  }
}

export async function within(ms: number, promise: Promise<void>, problem: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  try {
    await Promise.race([
      promise,
      new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new ConnectionError(problem)), ms);
      }),
    ]);
  } finally {
    clearTimeout(timer);
  }
}
