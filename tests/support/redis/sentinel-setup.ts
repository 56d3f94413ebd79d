/** One master, two replicas and three sentinels that fail over within a few seconds. */
import { waitFor } from '../wait.ts';
import { whenAnswered } from './redis-cli.ts';
import { RedisServer, type RedisServerOptions } from './redis-server.ts';

const MASTER_NAME = 'mymaster';
const DOWN_AFTER_MS = 2000;
const FAILOVER_TIMEOUT_MS = 5000;
const REPLICAS = 2;
const SENTINELS = 3;

type Place = Pick<RedisServerOptions, 'host' | 'launcher'>;

export interface SentinelSetupOptions {
  /** The place of a process, by default 127.0.0.1; server 0 is the first master. */
  readonly place?: (role: 'server' | 'sentinel', index: number) => Place;
  /** Additional lines of the servers' configuration. */
  readonly config?: readonly string[];
}

export class SentinelSetup {
  readonly masterName = MASTER_NAME;
  /** The servers; the first one is the first master. */
  readonly servers: readonly RedisServer[];
  readonly sentinels: RedisServer[] = [];

  private constructor(servers: readonly RedisServer[]) {
    this.servers = servers;
  }

  static async start({ place = () => ({}), config = [] }: SentinelSetupOptions = {}): Promise<SentinelSetup> {
    const servers: RedisServer[] = [];
    for (let i = 0; i <= REPLICAS; i++) {
      const first = servers[0];
      const role = first === undefined ? [] : [`replicaof ${first.host} ${first.port}`];
      const placed = place('server', i);
      const announced = placed.host === undefined ? [] : [`replica-announce-ip ${placed.host}`];
      servers.push(await RedisServer.start({ ...placed, config: [...role, ...announced, ...config] }));
    }
    const [master] = servers;
    if (master === undefined) throw new Error('there is no master');
    const setup = new SentinelSetup(servers);
    // A sentinel that starts earlier learns of the replicas only at its second poll, ten seconds later.
    await setup.settled();
    for (let i = 0; i < SENTINELS; i++) {
      const placed = place('sentinel', i);
      setup.sentinels.push(
        await RedisServer.start({
          ...placed,
          isSentinel: true,
          config: [
            ...(placed.host === undefined ? [] : [`sentinel announce-ip ${placed.host}`]),
            `sentinel monitor ${MASTER_NAME} ${master.host} ${master.port} ${Math.floor(SENTINELS / 2) + 1}`,
            `sentinel down-after-milliseconds ${MASTER_NAME} ${DOWN_AFTER_MS}`,
            `sentinel failover-timeout ${MASTER_NAME} ${FAILOVER_TIMEOUT_MS}`,
          ],
        }),
      );
    }
    await waitFor('sentinels that know all', () => setup.#knowAll(), { timeoutMs: 30_000, pollMs: 100 });
    return setup;
  }

  /** The port of the master according to a running sentinel. */
  async masterPort(): Promise<number> {
    return (await this.master()).port;
  }

  async master(): Promise<RedisServer> {
    for (const sentinel of this.sentinels) {
      if (sentinel.isRunning) return this.#masterBy(sentinel);
    }
    throw new Error('no sentinel runs');
  }

  /** Kills the master with `kill -9` and returns it. */
  async killMaster(): Promise<RedisServer> {
    const master = await this.master();
    await master.kill();
    return master;
  }

  /** Waits until the sentinels of `among` name another master than `old`, and that one acts as master. */
  async failedOver(
    old: RedisServer,
    among: readonly RedisServer[] = this.sentinels,
    timeoutMs = 30_000,
  ): Promise<RedisServer> {
    return waitFor('a failover', () => whenAnswered(() => this.#heirOf(old, among)), {
      timeoutMs,
      pollMs: 50,
    });
  }

  /** Waits until every running server is the master or replicates it. */
  async settled(timeoutMs = 60_000): Promise<void> {
    await waitFor('replication', () => whenAnswered(() => this.#isReplicated()), { timeoutMs, pollMs: 100 });
  }

  async dispose(): Promise<void> {
    for (const process of [...this.sentinels, ...this.servers]) await process.dispose();
  }

  async #masterBy(sentinel: RedisServer): Promise<RedisServer> {
    const answer = await sentinel.command('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', MASTER_NAME);
    const address = answer.split('\n').join(':');
    const master = this.servers.find((server) => server.address === address);
    if (master === undefined) throw new Error(`a sentinel names a master that is none of ours: ${address}`);
    return master;
  }

  async #heirOf(old: RedisServer, among: readonly RedisServer[]): Promise<RedisServer | false> {
    const [master, ...others] = await Promise.all(
      among.filter((s) => s.isRunning).map((s) => this.#masterBy(s)),
    );
    if (master === undefined || master === old || others.some((other) => other !== master)) return false;
    return (await master.info('replication', 'role')) === 'master' && master;
  }

  async #isReplicated(): Promise<boolean> {
    const master = this.sentinels.length === 0 ? this.servers[0] : await this.master();
    if (master === undefined || !master.isRunning) return false;
    for (const server of this.servers) {
      if (!server.isRunning || server === master) continue;
      const text = await server.command('INFO', 'replication');
      const isLinked = text.includes(`master_port:${master.port}`) && text.includes('master_link_status:up');
      if (!isLinked) return false;
    }
    return (await master.info('replication', 'role')) === 'master';
  }

  async #knowAll(): Promise<boolean> {
    for (const sentinel of this.sentinels) {
      const lines = (await sentinel.command('SENTINEL', 'MASTER', MASTER_NAME)).split('\n');
      const field = (name: string): string | undefined => lines[lines.indexOf(name) + 1];
      if (field('num-slaves') !== String(REPLICAS)) return false;
      if (field('num-other-sentinels') !== String(SENTINELS - 1)) return false;
      if (field('flags') !== 'master') return false;
    }
    return true;
  }
}
