/**
 * One master as this node sees it: a connection for commands, one for commands that wait for replicas, and a
 * listener. The first two are opened and lost together, and are opened again with growing pauses until it works. The
 * listener comes back by itself. While there is no connection every call fails at once.
 */

import type { AccessSettings } from './access-settings.ts';
import { Backoff } from './backoff.ts';
import { BusProbe, PROBE_INTERVAL_MS } from './bus-probe.ts';
import { type Argument, type BusKind, RedisConnection } from './connection.ts';
import { Listener } from './listener.ts';
import { ConnectionError } from './redis-errors.ts';
import { ReplicaWait } from './replica-wait.ts';
import { loadScripts, runScript, type ScriptRun } from './scripts.ts';
import { labelOf, type ServerAddress } from './server-address.ts';
import { ServerClock } from './server-clock.ts';
import { readServerFacts, type ServerFacts } from './server-facts.ts';
import { within } from './within.ts';

export interface ShardEvents {
  readonly onMessage: (name: string, message: Buffer) => void;
  /** The server can be called, for the first time or again. It may have been restarted, or be another one. */
  readonly onReady: (shard: Shard) => void;
  readonly onDown: (shard: Shard, reason: Error) => void;
  /** The listener has subscribed everything on a new connection; what was published meanwhile is lost to it. */
  readonly onListenerConnected: (shard: Shard) => void;
  /** These names moved to another server; they are no longer subscribed. */
  readonly onMoved: (names: readonly string[]) => void;
}

export interface ShardOptions {
  readonly address: ServerAddress;
  readonly access: AccessSettings;
  readonly nodeId: string;
  /** Bus channel of the probe; its slot is one that this master has. */
  readonly probeName: () => string;
  readonly random: () => number;
  readonly events: ShardEvents;
}

interface Connections {
  readonly commands: RedisConnection;
  readonly replicated: RedisConnection;
}

export class Shard {
  readonly label: string;
  readonly listener: Listener;
  readonly clock = new ServerClock();
  readonly #options: ShardOptions;
  readonly #probe: BusProbe;
  readonly #backoff: Backoff;
  readonly #replicaWait = new ReplicaWait();
  #connections: Connections | undefined;
  #facts: ServerFacts | undefined;
  #isStopped = false;
  #retryTimer: NodeJS.Timeout | undefined;
  #probeTimer: NodeJS.Timeout | undefined;
  #lastError: Error | undefined;

  constructor(options: ShardOptions) {
    const { address, access, random, probeName, events } = options;
    this.#options = options;
    this.label = labelOf(address);
    this.#backoff = new Backoff(random);
    this.listener = new Listener({
      open: (onClosed) => this.#open('bus', onClosed),
      busKind: () => this.busKind,
      waitMs: access.socketTimeoutMs,
      random,
      onMessage: (name, message) => {
        if (name === this.#probe.name) this.#probe.receive(message);
        else events.onMessage(name, message);
      },
      onConnected: () => {
        this.#probe.reset();
        events.onListenerConnected(this);
      },
      onMoved: events.onMoved,
    });
    this.#probe = new BusProbe({ listener: this.listener, busKind: () => this.busKind, nameOf: probeName });
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

  get lastError(): Error | undefined {
    return this.#lastError;
  }

  /** See `BusProbe.lagMs`. */
  get busLagMs(): number | undefined {
    return this.#probe.lagMs;
  }

  get busKind(): BusKind {
    const { isCluster = false, version = '' } = this.#facts ?? {};
    return isCluster && Number.parseInt(version, 10) >= 7 ? 'sharded' : 'plain';
  }

  /** The command by which a script announces. */
  get publishCommand(): 'publish' | 'spublish' {
    return this.busKind === 'sharded' ? 'spublish' : 'publish';
  }

  isProbe(name: string): boolean {
    return name === this.#probe.name;
  }

  /**
   * Rejects when the first connection cannot be opened, or when the first probe does not come back. A connection that
   * is lost later is opened again until it works.
   */
  async start(): Promise<void> {
    await this.#connect();
    await this.listener.start();
    this.#probe.send(this.#ready().commands);
    const waitMs = this.#options.access.socketTimeoutMs;
    const problem = `Redis ${this.label}: no probe came back over its bus within ${waitMs} ms`;
    await within(waitMs, this.#probe.proven, problem);
  }

  /** Connects, and tries again until it works. */
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
    this.#drop('the service is stopping');
  }

  call(args: readonly Argument[]): Promise<unknown> {
    return this.#ready().commands.call(args);
  }

  run(run: ScriptRun): Promise<unknown> {
    return runScript(this.#ready().commands, run);
  }

  /**
   * Runs a script, then waits until `replicas` have what it wrote. Resolves with the reply and how many have it,
   * which are fewer when the time is up.
   */
  async runReplicated(
    run: ScriptRun,
    { replicas: wanted, untilMs }: { readonly replicas: number; readonly untilMs: number },
  ): Promise<{ reply: unknown; replicas: number }> {
    const { replicated } = this.#ready();
    const reply = await runScript(replicated, run);
    for (;;) {
      const replicas = await this.#replicaWait.wait(replicated, wanted);
      if (replicas >= wanted || performance.now() >= untilMs) return { reply, replicas };
    }
  }

  #ready(): Connections {
    if (this.#connections === undefined) {
      const reason = this.#lastError?.message ?? 'not connected yet';
      throw new ConnectionError(`Redis ${this.label} is unreachable: ${reason}`);
    }
    return this.#connections;
  }

  #open(role: string, onClosed: (error: Error) => void): Promise<RedisConnection> {
    const { address, access, nodeId } = this.#options;
    const clientName = `${access.clientName}-${nodeId}-${role}`;
    return RedisConnection.open(address, { ...access, clientName }, onClosed);
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
      const facts = await readServerFacts(commands);
      await this.clock.read(commands);
      const replicated = await open('replicated');
      await loadScripts(commands);
      if (lost !== undefined) throw lost;
      if (this.#isStopped) throw new Error('the service is stopping');
      this.#facts = facts;
      this.#connections = { commands, replicated };
      this.#lastError = undefined;
      this.#backoff.succeeded();
      this.#startProbing();
      this.#options.events.onReady(this);
    } catch (error) {
      this.#lastError = error as Error;
      for (const connection of opened) connection.close();
      throw error;
    }
  }

  #lose(error: Error): void {
    this.#drop(error.message);
    this.#options.events.onDown(this, error);
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

  #startProbing(): void {
    this.#probe.reset();
    clearInterval(this.#probeTimer);
    this.#probeTimer = setInterval(() => {
      const { commands } = this.#connections ?? {};
      if (commands === undefined) return;
      this.clock.read(commands).catch(() => undefined);
      this.#probe.send(commands);
    }, PROBE_INTERVAL_MS);
    this.#probeTimer.unref();
  }
}
