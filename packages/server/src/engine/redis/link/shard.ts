/**
 * One master as this node sees it: a connection for commands, one for commands that wait for replicas, and a
 * listener. The first two stand and fall together and are made anew for ever, with a pause that grows; the
 * listener comes back by itself.
 *
 * While there is no connection every call fails at once. The shard knows which run of the server it speaks to, the
 * server's clock, and whether its listener hears: every second it sends itself a word over the bus.
 */

import type { Keys } from '../log/keys.ts';
import { Backoff } from './backoff.ts';
import {
  type Argument,
  ConnectionError,
  type ConnectionSettings,
  RedisConnection,
  ReplyError,
  type ServerAddress,
} from './connection.ts';
import { Listener, within } from './listener.ts';
import { SCRIPTS, type Script } from './scripts.ts';
import { label } from './topology.ts';

export interface ShardOptions {
  readonly address: ServerAddress;
  readonly connection: ConnectionSettings;
  readonly keys: Keys;
  readonly nodeId: string;
  /** A hash tag whose slot this master has, for its probe. */
  readonly probeTag: () => string;
  readonly random: () => number;
  readonly onMessage: (name: string, message: Buffer) => void;
  /** Commands can be sent. `isNewRun`: the server was started anew, or is another one, since the last time. */
  readonly onReady: (shard: Shard) => void;
  readonly onDown: (shard: Shard, reason: Error) => void;
  /** The listener hears again; what was said meanwhile is lost. */
  readonly onHearing: (shard: Shard) => void;
  readonly onMoved: (shard: Shard, names: readonly string[]) => void;
}

export interface ServerFacts {
  readonly runId: string;
  readonly version: string;
  readonly isCluster: boolean;
  readonly info: string;
}

export interface ScriptOptions {
  /** Strings of the reply come as bytes. */
  readonly asBytes?: boolean;
  /** The slot is on its way here. */
  readonly isAsking?: boolean;
}

const PROBE_INTERVAL_MS = 1000;
const WAIT_SLICE_MS = 100;
/** A listener that has not brought a probe for so long does not hear. */
const DEAF_AFTER_MS = 3000;

interface Connections {
  readonly commands: RedisConnection;
  readonly replicated: RedisConnection;
}

export class Shard {
  readonly #options: ShardOptions;
  readonly label: string;
  readonly listener: Listener;
  readonly #backoff: Backoff;
  #connections: Connections | undefined;
  #facts: ServerFacts | undefined;
  /** What this server's clock shows more than ours, µs. */
  #clockOffsetUs = 0;
  #isStopped = false;
  #retryTimer: NodeJS.Timeout | undefined;
  #probeTimer: NodeJS.Timeout | undefined;
  #probeReturnedMs = 0;
  #probeName = '';
  readonly #isProven = Promise.withResolvers<void>();
  #lastError: Error | undefined;
  #waitUnderWay: Promise<number> | undefined;
  #nextWait: Promise<number> | undefined;
  #busLagMs: number | undefined;

  constructor(options: ShardOptions) {
    this.#options = options;
    this.label = label(options.address);
    this.#backoff = new Backoff(options.random);
    this.listener = new Listener({
      open: (onClosed) => this.#open('bus', onClosed),
      busKind: () => this.busKind,
      waitMs: options.connection.callTimeoutMs,
      random: options.random,
      onMessage: (name, message) => {
        if (name === this.#probeName) this.#onProbe(message);
        else options.onMessage(name, message);
      },
      onHearing: () => {
        this.#probeReturnedMs = performance.now();
        options.onHearing(this);
      },
      onMoved: (names) => options.onMoved(this, names),
    });
  }

  get address(): ServerAddress {
    return this.#options.address;
  }

  get isReady(): boolean {
    return this.#connections !== undefined;
  }

  get facts(): ServerFacts | undefined {
    return this.#facts;
  }

  get runId(): string {
    return this.#facts?.runId ?? '';
  }

  get clockOffsetMs(): number {
    return this.#clockOffsetUs / 1000;
  }

  get lastError(): Error | undefined {
    return this.#lastError;
  }

  /** How long the last probe was under way; more while the next one is overdue; undefined before the first. */
  get busLagMs(): number | undefined {
    if (this.#busLagMs === undefined) return undefined;
    const overdueMs = performance.now() - this.#probeReturnedMs - PROBE_INTERVAL_MS;
    return Math.max(this.#busLagMs, overdueMs);
  }

  /** The name by which this shard proves its listener. */
  isProbe(name: string): boolean {
    return name === this.#probeName;
  }

  get busKind(): 'plain' | 'sharded' {
    const { isCluster = false, version = '' } = this.#facts ?? {};
    return isCluster && Number.parseInt(version, 10) >= 7 ? 'sharded' : 'plain';
  }

  /** The time on this server's clock, now or some ms from now, µs since 1970. */
  clockUs(fromNowMs = 0): number {
    return Math.round((Date.now() + fromNowMs) * 1000 + this.#clockOffsetUs);
  }

  /**
   * Fails when the first connection cannot be made, or when the first word over the bus does not come back; later
   * connections are made for ever.
   */
  async start(): Promise<void> {
    await this.#connect();
    await this.listener.start();
    const { commands } = this.#ready();
    this.#probe(commands);
    const waitMs = this.#options.connection.callTimeoutMs;
    await within(
      waitMs,
      this.#isProven.promise,
      `Redis ${this.label}: its bus brought nothing within ${waitMs} ms`,
    );
  }

  /** The same, trying from the beginning for ever. */
  startAnyway(): void {
    this.#connect().then(
      () => this.listener.start().catch(() => this.listener.retry()),
      (error: Error) => this.#retry(error),
    );
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#retryTimer);
    this.listener.stop();
    this.#drop('the service stops');
  }

  call(args: readonly Argument[]): Promise<unknown> {
    return this.#ready().commands.call(args);
  }

  script(
    script: Script,
    keys: readonly string[],
    args: readonly Argument[],
    options: ScriptOptions = {},
  ): Promise<unknown> {
    return runScript(this.#ready().commands, script, keys, args, options);
  }

  /**
   * Runs a script, then waits until `replicas` have what it wrote. Resolves with the reply and how many have, which
   * are fewer when the time is up.
   */
  async scriptReplicated(
    script: Script,
    keys: readonly string[],
    args: readonly Argument[],
    wait: { readonly replicas: number; readonly untilMs: number; readonly isAsking?: boolean },
  ): Promise<{ reply: unknown; replicas: number }> {
    const { replicated } = this.#ready();
    const reply = await runScript(replicated, script, keys, args, wait);
    for (;;) {
      const replicas = await this.#wait(replicated, wait.replicas);
      if (replicas >= wait.replicas || performance.now() >= wait.untilMs) return { reply, replicas };
    }
  }

  /**
   * WAIT waits for what its connection wrote last, and holds up all that is sent behind it: so one serves every
   * call that was answered before it was sent, and none takes long.
   */
  #wait(replicated: RedisConnection, replicas: number): Promise<number> {
    const send = (): Promise<number> => {
      this.#nextWait = undefined;
      const sent = replicated.call(['WAIT', String(replicas), String(WAIT_SLICE_MS)]).then(Number);
      const over = (): void => {
        if (this.#waitUnderWay === sent) this.#waitUnderWay = undefined;
      };
      this.#waitUnderWay = sent;
      sent.then(over, over);
      return sent;
    };
    if (this.#waitUnderWay === undefined) return send();
    this.#nextWait ??= this.#waitUnderWay.then(send, send);
    return this.#nextWait;
  }

  #ready(): Connections {
    if (this.#connections === undefined) {
      const reason = this.#lastError?.message ?? 'not connected yet';
      throw new ConnectionError(`Redis ${this.label} is not reachable: ${reason}`);
    }
    return this.#connections;
  }

  #open(role: string, onClosed: (error: Error) => void): Promise<RedisConnection> {
    const { address, connection, nodeId } = this.#options;
    return RedisConnection.open(
      address,
      { ...connection, name: `${connection.name}-${nodeId}-${role}` },
      onClosed,
    );
  }

  async #connect(): Promise<void> {
    const opened: RedisConnection[] = [];
    let lost: Error | undefined;
    const open = async (role: string): Promise<RedisConnection> => {
      const connection = await this.#open(role, (error) => {
        lost = error;
        if (this.#connections?.commands === opened[0]) this.#lose(error);
      });
      opened.push(connection);
      return connection;
    };
    try {
      const commands = await open('commands');
      const facts = await readFacts(commands);
      await this.#readClock(commands);
      const replicated = await open('replicated');
      for (const script of Object.values(SCRIPTS)) await commands.call(['SCRIPT', 'LOAD', script.source]);
      if (lost !== undefined) throw lost;
      if (this.#isStopped) throw new Error('the service stops');
      this.#facts = facts;
      this.#connections = { commands, replicated };
      this.#lastError = undefined;
      this.#backoff.succeeded();
      this.#watchBus();
      this.#options.onReady(this);
    } catch (error) {
      this.#lastError = error as Error;
      for (const connection of opened) connection.close();
      throw error;
    }
  }

  #lose(error: Error): void {
    this.#drop(error.message);
    this.#options.onDown(this, error);
    this.#retry(error);
  }

  #drop(reason: string): void {
    clearInterval(this.#probeTimer);
    const connections = this.#connections;
    this.#connections = undefined;
    connections?.commands.close(reason);
    connections?.replicated.close(reason);
  }

  #retry(error: Error): void {
    this.#lastError = error;
    if (this.#isStopped) return;
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => this.startAnyway(), this.#backoff.next());
  }

  #watchBus(): void {
    this.#probeReturnedMs = performance.now();
    clearInterval(this.#probeTimer);
    this.#probeTimer = setInterval(() => {
      const { commands } = this.#connections ?? {};
      if (commands !== undefined) this.#probe(commands);
    }, PROBE_INTERVAL_MS);
    this.#probeTimer.unref();
  }

  #probe(commands: RedisConnection): void {
    this.#readClock(commands).catch(() => undefined);
    if (!this.listener.isHearing) return;
    const name = this.#options.keys.probeBus(this.#options.nodeId, this.#options.probeTag());
    if (name !== this.#probeName) {
      if (this.#probeName !== '') this.listener.unsubscribe([this.#probeName]);
      this.#probeName = name;
      this.#probeReturnedMs = performance.now();
      this.listener.subscribe([name]).then(
        () => this.#sendProbe(commands),
        () => undefined,
      );
    } else if (performance.now() - this.#probeReturnedMs > DEAF_AFTER_MS) {
      this.#probeReturnedMs = performance.now();
      this.listener.reconnect(`the bus brought nothing for ${DEAF_AFTER_MS} ms`);
    } else this.#sendProbe(commands);
  }

  #sendProbe(commands: RedisConnection): void {
    const publish = this.busKind === 'sharded' ? 'SPUBLISH' : 'PUBLISH';
    commands.call([publish, this.#probeName, String(performance.now())]).catch(() => undefined);
  }

  #onProbe(message: Buffer): void {
    this.#probeReturnedMs = performance.now();
    this.#busLagMs = Math.max(0, this.#probeReturnedMs - Number(message.toString()));
    this.#isProven.resolve();
  }

  async #readClock(commands: RedisConnection): Promise<void> {
    const sentMs = Date.now();
    const [seconds, micros] = (await commands.call(['TIME'])) as [string, string];
    // It was read at some time in between.
    const middleUs = ((sentMs + Date.now()) / 2) * 1000;
    this.#clockOffsetUs = Number(seconds) * 1e6 + Number(micros) - middleUs;
  }
}

function runScript(
  connection: RedisConnection,
  script: Script,
  keys: readonly string[],
  args: readonly Argument[],
  { asBytes = false, isAsking = false }: ScriptOptions,
): Promise<unknown> {
  // It counts for the next command, which follows in the same turn.
  if (isAsking) connection.call(['ASKING']).catch(() => undefined);
  const command = ['EVALSHA', script.sha, String(keys.length), ...keys, ...args];
  return (asBytes ? connection.callForBytes(command) : connection.call(command)).catch((error: unknown) => {
    if (!(error instanceof ReplyError) || error.code !== 'NOSCRIPT') throw error;
    // Somebody has flushed the scripts. The caller tries again.
    return connection.call(['SCRIPT', 'LOAD', script.source]).then(() => {
      throw error;
    });
  });
}

async function readFacts(connection: RedisConnection): Promise<ServerFacts> {
  const info = String(await connection.call(['INFO']));
  const field = (name: string): string => infoField(info, name);
  if (field('role') !== 'master') throw new Error(`the server is a ${field('role')}, not a master`);
  if (field('loading') === '1') throw new Error('the server is loading its data');
  return {
    runId: field('run_id'),
    version: field('valkey_version') || field('redis_version'),
    isCluster: field('cluster_enabled') === '1',
    info,
  };
}

export function infoField(info: string, name: string): string {
  return new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';
}
