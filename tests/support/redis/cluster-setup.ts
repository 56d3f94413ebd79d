/** A cluster of three masters with a replica each, whose slots can be moved while it is used. */
import { freeClusterPort } from '../ports.ts';
import { waitFor } from '../wait.ts';
import { redisCli, whenAnswered } from './redis-cli.ts';
import { RedisServer } from './redis-server.ts';

const SERVERS = 6;
const NODE_TIMEOUT_MS = 2000;
const SLOTS = 16_384;
const KEYS_AT_A_TIME = 100;

/** A line of `CLUSTER NODES`. */
interface NodeLine {
  readonly id: string;
  readonly port: number;
  readonly flags: readonly string[];
  /** First and last slot, inclusive. */
  readonly slots: readonly (readonly [number, number])[];
}

export class ClusterSetup {
  readonly servers: readonly RedisServer[];

  private constructor(servers: readonly RedisServer[]) {
    this.servers = servers;
  }

  static async start(): Promise<ClusterSetup> {
    const servers: RedisServer[] = [];
    for (let i = 0; i < SERVERS; i++) {
      servers.push(
        await RedisServer.start({
          port: await freeClusterPort(),
          config: ['cluster-enabled yes', `cluster-node-timeout ${NODE_TIMEOUT_MS}`],
        }),
      );
    }
    const addresses = servers.map((s) => s.address);
    await redisCli(['--cluster', 'create', ...addresses, '--cluster-replicas', '1', '--cluster-yes'], {
      timeoutMs: 60_000,
    });
    const setup = new ClusterSetup(servers);
    await setup.settled();
    await waitFor('replication', () => setup.#isReplicated(), { timeoutMs: 30_000, pollMs: 100 });
    return setup;
  }

  /** The masters, in the order of `servers`. */
  async masters(): Promise<RedisServer[]> {
    const nodes = await this.#nodes(this.#anyone());
    const ports = new Set(nodes.filter((n) => n.slots.length > 0 && isMaster(n)).map((n) => n.port));
    return this.servers.filter((s) => ports.has(s.port));
  }

  async masterOf(slot: number): Promise<RedisServer> {
    const nodes = await this.#nodes(this.#anyone());
    const owner = nodes.find((n) => n.slots.some(([from, to]) => slot >= from && slot <= to));
    const server = this.servers.find((s) => s.port === owner?.port);
    if (server === undefined) throw new Error(`nobody has slot ${slot}`);
    return server;
  }

  async slotOf(key: string): Promise<number> {
    return Number(await this.#anyone().command('CLUSTER', 'KEYSLOT', key));
  }

  /** Kills the i-th master with `kill -9` and returns it. */
  async killMaster(index: number): Promise<RedisServer> {
    const master = (await this.masters())[index];
    if (master === undefined) throw new Error(`there is no master ${index}`);
    await master.kill();
    return master;
  }

  /** Waits until every running server sees all slots at running masters. */
  async settled(timeoutMs = 60_000): Promise<void> {
    await waitFor('a whole cluster', () => whenAnswered(() => this.#isWhole()), { timeoutMs, pollMs: 100 });
  }

  /** Slots of `master` that have keys, fullest first. */
  async busySlots(master: RedisServer): Promise<number[]> {
    const own = (await this.#nodes(master)).find((n) => n.flags.includes('myself'))?.slots ?? [];
    const slots = own.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, i) => from + i));
    const text = await master.commands(slots.map((slot) => `CLUSTER COUNTKEYSINSLOT ${slot}`));
    const counts = text.split('\n').map(Number);
    return slots
      .map((slot, i) => ({ slot, keys: counts[i] ?? 0 }))
      .filter(({ keys }) => keys > 0)
      .toSorted((a, b) => b.keys - a.keys)
      .map(({ slot }) => slot);
  }

  /** Moves a slot key by key while it is in use, as the documentation of `CLUSTER SETSLOT` describes. */
  async moveSlot(slot: number, to: RedisServer): Promise<void> {
    const from = await this.masterOf(slot);
    if (from === to) return;
    const [fromId, toId] = [await nodeId(from), await nodeId(to)];
    const setSlot = (server: RedisServer, ...args: string[]): Promise<string> =>
      server.command('CLUSTER', 'SETSLOT', String(slot), ...args);
    await setSlot(to, 'IMPORTING', fromId);
    await setSlot(from, 'MIGRATING', toId);
    for (;;) {
      const text = await from.command('CLUSTER', 'GETKEYSINSLOT', String(slot), String(KEYS_AT_A_TIME));
      if (text === '') break;
      const target = [to.host, String(to.port), '', '0', '5000', 'KEYS'];
      await from.command('MIGRATE', ...target, ...text.split('\n'));
    }
    // The new owner first: otherwise no server owns the slot for a moment.
    for (const server of [to, from, ...(await this.masters()).filter((m) => m !== to && m !== from)]) {
      await setSlot(server, 'NODE', toId);
    }
  }

  /** Moves the first `count` slots of `from` with `redis-cli --cluster reshard`. */
  async moveSlots(from: RedisServer, to: RedisServer, count: number): Promise<void> {
    const way = ['--cluster-from', await nodeId(from), '--cluster-to', await nodeId(to)];
    const amount = ['--cluster-slots', String(count), '--cluster-pipeline', String(KEYS_AT_A_TIME)];
    await redisCli(['--cluster', 'reshard', this.#anyone().address, '--cluster-yes', ...way, ...amount], {
      timeoutMs: 120_000,
    });
  }

  async dispose(): Promise<void> {
    for (const server of this.servers) await server.dispose();
  }

  #anyone(): RedisServer {
    const server = this.servers.find((s) => s.isRunning);
    if (server === undefined) throw new Error('no server of the cluster runs');
    return server;
  }

  async #nodes(server: RedisServer): Promise<NodeLine[]> {
    return (await server.command('CLUSTER', 'NODES')).split('\n').map(readNodeLine);
  }

  async #isWhole(): Promise<boolean> {
    const running = this.servers.filter((s) => s.isRunning);
    for (const server of running) {
      const info = await server.command('CLUSTER', 'INFO');
      if (!info.includes('cluster_state:ok') || !info.includes(`cluster_known_nodes:${SERVERS}`))
        return false;
      let covered = 0;
      for (const node of await this.#nodes(server)) {
        if (!isMaster(node) || !running.some((s) => s.port === node.port)) continue;
        covered += node.slots.reduce((sum, [from, to]) => sum + to - from + 1, 0);
      }
      if (covered !== SLOTS) return false;
    }
    return true;
  }

  async #isReplicated(): Promise<boolean> {
    for (const master of await this.masters()) {
      if (!(await master.command('INFO', 'replication')).includes('state=online')) return false;
    }
    return true;
  }
}

function nodeId(server: RedisServer): Promise<string> {
  return server.command('CLUSTER', 'MYID');
}

function isMaster({ flags }: NodeLine): boolean {
  return flags.includes('master') && !flags.includes('fail');
}

function readNodeLine(line: string): NodeLine {
  const [id = '', address = '', flags = '', , , , , , ...slots] = line.trim().split(' ');
  return {
    id,
    port: Number(/:(\d+)@/.exec(address)?.[1]),
    flags: flags.split(','),
    slots: slots
      // `[slot->-node]` is a slot that is being moved.
      .filter((word) => !word.startsWith('['))
      .map((word) => {
        const [from = '', to = from] = word.split('-');
        return [Number(from), Number(to)] as const;
      }),
  };
}

/** A port whose bus port, 10,000 above, is below the range of outgoing connections and free too. */
