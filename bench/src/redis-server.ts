/** A redis-server for one measurement: fresh, pinned, with a directory of its own, and stopped with the measurement. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@redis/client';
import { endChild, track, trackDirectory } from './children.ts';
import { getFreePort } from './net.ts';
import { pinnedCommand } from './pinning.ts';
import { readCpuUs } from './proc.ts';

export interface RedisServerOptions {
  /** Directory in which the server's own directory is created. */
  readonly directory: string;
  readonly cores: string | undefined;
  /** Use an append-only file, synced every second. */
  readonly isDurable: boolean;
  /** Form a cluster of this one server, which owns all slots. */
  readonly isCluster?: boolean;
  /** Options for the command line, which override those chosen here. */
  readonly options: readonly string[];
}

const PROGRAM = 'redis-server';
const START_TIMEOUT_MS = 10_000;
const STOP_GRACE_MS = 5000;

export class RedisServer {
  readonly port: number;
  readonly #process: ChildProcess;
  readonly #client: ReturnType<typeof createPlainClient>;

  private constructor(port: number, process: ChildProcess, client: ReturnType<typeof createPlainClient>) {
    this.port = port;
    this.#process = process;
    this.#client = client;
  }

  /** Runs `use` on a fresh server and stops the server afterwards, whatever happens. */
  static async with<T>(options: RedisServerOptions, use: (redis: RedisServer) => Promise<T>): Promise<T> {
    const directory = mkdtempSync(join(options.directory, 'bench-redis-'));
    const removeDirectory = trackDirectory(directory);
    try {
      const redis = await RedisServer.#start(options, directory);
      try {
        return await use(redis);
      } finally {
        await redis.#stop();
      }
    } finally {
      removeDirectory();
    }
  }

  static async #start(options: RedisServerOptions, directory: string): Promise<RedisServer> {
    const { cores, isDurable, isCluster = false } = options;
    const port = await getFreePort();
    const settings = {
      port: String(port),
      bind: '127.0.0.1',
      dir: directory,
      save: '',
      appendonly: isDurable ? 'yes' : 'no',
      appendfsync: 'everysec',
      // A rewrite would be measured too if it happened to fall into the window.
      'auto-aof-rewrite-percentage': '0',
      'maxmemory-policy': 'noeviction',
      'lazyfree-lazy-expire': 'yes',
      'cluster-enabled': isCluster ? 'yes' : 'no',
    };
    const chosen = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
    const args = [...chosen, ...options.options];
    const pinned = pinnedCommand(cores, PROGRAM, args);
    const child = spawn(pinned.command, pinned.args, { stdio: 'ignore' });
    track(child);
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (performance.now() < deadline && child.exitCode === null) {
      await sleep(50);
      const client = createPlainClient(port);
      try {
        await client.connect();
        const redis = new RedisServer(port, child, client);
        if (isCluster) await redis.#takeAllSlots();
        return redis;
      } catch {
        // The server does not listen yet; the next attempt uses another client.
        client.destroy();
      }
    }
    await endChild(child, STOP_GRACE_MS);
    throw new Error(`${PROGRAM} did not start on port ${port}`);
  }

  call(...args: string[]): Promise<unknown> {
    return this.#client.sendCommand(args);
  }

  async info(section: string, name: string): Promise<number> {
    const text = String(await this.call('INFO', section));
    const value = new RegExp(`^${name}:(\\d+)`, 'm').exec(text)?.[1];
    if (value === undefined) throw new Error(`INFO ${section} has no ${name}`);
    return Number(value);
  }

  cpuUs(): number {
    const { pid, exitCode, signalCode } = this.#process;
    if (pid === undefined || exitCode !== null || signalCode !== null) throw new Error('Redis has ended');
    return readCpuUs(pid);
  }

  async #takeAllSlots(): Promise<void> {
    await this.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (!/cluster_state:ok/.test(String(await this.call('CLUSTER', 'INFO')))) {
      if (performance.now() > deadline) throw new Error('the cluster of one server did not become whole');
      await sleep(50);
    }
  }

  async #stop(): Promise<void> {
    this.#client.destroy();
    await endChild(this.#process, STOP_GRACE_MS);
  }
}

function createPlainClient(port: number) {
  const client = createClient({
    socket: { host: '127.0.0.1', port, reconnectStrategy: false },
    commandOptions: { timeout: 60_000 },
  });
  // Ignored here: every call fails with the same error.
  client.on('error', () => undefined);
  return client;
}

export function missingRedis(): string | undefined {
  return spawnSync(PROGRAM, ['--version']).status === 0 ? undefined : `${PROGRAM} is not installed`;
}

export function redisVersion(): string {
  const text = spawnSync(PROGRAM, ['--version'], { encoding: 'utf8' }).stdout ?? '';
  return `Redis ${/v=(\S+)/.exec(text)?.[1] ?? '?'}`;
}
