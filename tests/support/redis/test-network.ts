/**
 * A network from which a host can be cut off: Linux network namespaces on two bridges. One of them can be cut
 * silently, as by a switch that loses power: packets vanish and no interface goes down. The other one, for the test's
 * own streams and publishers, stays.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';

export interface NetworkHost {
  /** The address on the network that can be cut. */
  readonly address: string;
  /** A command that runs another command on this host and is replaced by it. */
  readonly launcher: readonly string[];
  /** The same for a service, which stays reachable at its port on 127.0.0.1 of the test's side while it is cut off. */
  readonly serviceLauncher: readonly string[];
}

const FORWARDER = fileURLToPath(new URL('forward.ts', import.meta.url));
const open = new Set<TestNetwork>();
process.on('exit', () => {
  for (const network of open) network.dispose();
});

export class TestNetwork {
  /** The address of the test's side. */
  readonly address: string;
  readonly #tag = randomBytes(3).toString('hex');
  /** Random, so that networks of other tests rarely have the same number; if they do, `ip` fails. */
  readonly #number = 1 + ((randomBytes(1)[0] ?? 0) % 250);
  readonly #hosts: string[] = [];

  constructor() {
    this.address = this.#addressOf('cut', 1);
    open.add(this);
    for (const kind of ['cut', 'kept'] as const) {
      ip('link', 'add', this.#bridge(kind), 'type', 'bridge');
      ip('addr', 'add', `${this.#addressOf(kind, 1)}/24`, 'dev', this.#bridge(kind));
      ip('link', 'set', this.#bridge(kind), 'up');
    }
  }

  addHost(name: string): NetworkHost {
    this.#hosts.push(name);
    const space = this.#space(name);
    ip('netns', 'add', space);
    ip('-n', space, 'link', 'set', 'lo', 'up');
    const number = this.#hosts.length + 1;
    for (const kind of ['cut', 'kept'] as const) {
      const port = this.#port(name, kind);
      ip('link', 'add', port, 'type', 'veth', 'peer', 'name', kind, 'netns', space);
      ip('link', 'set', port, 'master', this.#bridge(kind), 'up');
      ip('-n', space, 'addr', 'add', `${this.#addressOf(kind, number)}/24`, 'dev', kind);
      ip('-n', space, 'link', 'set', kind, 'up');
    }
    const launcher = ['ip', 'netns', 'exec', space];
    const forward = [process.execPath, '--experimental-strip-types', '--no-warnings', FORWARDER];
    // The forwarder ends with the process that replaces the shell.
    const script = `setpriv --pdeathsig KILL ${quoted(forward)} ${this.#addressOf('kept', number)} & exec "$@"`;
    return {
      address: this.#addressOf('cut', number),
      launcher,
      serviceLauncher: ['sh', '-c', script, 'sh', ...launcher, 'env', 'SERVICE_HOST=0.0.0.0'],
    };
  }

  cut(name: string): void {
    ip('link', 'set', this.#port(name, 'cut'), 'nomaster');
  }

  heal(name: string): void {
    ip('link', 'set', this.#port(name, 'cut'), 'master', this.#bridge('cut'));
  }

  /** Call it after everything on its hosts has ended. */
  dispose(): void {
    if (!open.delete(this)) return;
    for (const name of this.#hosts) tryIp('netns', 'del', this.#space(name));
    for (const kind of ['cut', 'kept'] as const) tryIp('link', 'del', this.#bridge(kind));
  }

  #addressOf(kind: 'cut' | 'kept', host: number): string {
    return `10.${kind === 'cut' ? 213 : 214}.${this.#number}.${host}`;
  }

  #space(name: string): string {
    return `mps-${this.#tag}-${name}`;
  }

  /** Names of interfaces have at most 15 characters. */
  #bridge(kind: 'cut' | 'kept'): string {
    return `m${this.#tag}-${kind}`;
  }

  #port(name: string, kind: 'cut' | 'kept'): string {
    return `m${this.#tag}${this.#hosts.indexOf(name)}-${kind}`;
  }
}

/** The reason why this machine cannot have such a network; `undefined` when it can. */
export function networkProblem(): string | undefined {
  let network: TestNetwork | undefined;
  try {
    network = new TestNetwork();
    network.addHost('try');
    return undefined;
  } catch (error) {
    return `network namespaces are not to be had here: ${(error as Error).message.trim()}`;
  } finally {
    network?.dispose();
  }
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'], timeout: 5000 });
}

/** Ignores failures: what does not exist need not be removed. */
function tryIp(...args: string[]): void {
  try {
    ip(...args);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
  }
}

function quoted(words: readonly string[]): string {
  return words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
}
