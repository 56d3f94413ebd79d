/**
 * A real redis-server with a port and a folder of its own, with AOF unless told otherwise, and the faults that may
 * happen to it: an orderly end, `kill -9`, a standstill, a start with or without its data.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noteForFailures } from '../failure-notes.ts';
import { freePort } from '../ports.ts';
import { waitFor, within } from '../wait.ts';
import type { Certificates } from './certificates.ts';
import { redisCli } from './redis-cli.ts';

export interface RedisServerOptions {
  readonly port?: number;
  /** The address that it listens on. */
  readonly host?: string;
  /** A command that is replaced by the server, as in `ip netns exec NAME`. */
  readonly launcher?: readonly string[];
  readonly isSentinel?: boolean;
  /** False keeps nothing on disk. */
  readonly isDurable?: boolean;
  readonly password?: string;
  /** The only ACL user who may do anything. The default `rules` allow everything. */
  readonly user?: { readonly name: string; readonly password: string; readonly rules?: string };
  /** Makes the port accept TLS only. */
  readonly tls?: Certificates;
  readonly maxMemory?: { readonly limit: string; readonly policy: string };
  /** Additional lines of its configuration file. */
  readonly config?: readonly string[];
}

const START_TIMEOUT_MS = 60_000;
const MAX_OUTPUT_CHARS = 20_000;
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class RedisServer {
  readonly host: string;
  readonly port: number;
  readonly folder: string;
  readonly options: RedisServerOptions;
  #child: ChildProcess | undefined;
  #output = '';
  readonly #endNote: () => void;

  private constructor(port: number, options: RedisServerOptions) {
    this.host = options.host ?? '127.0.0.1';
    this.port = port;
    this.options = options;
    this.folder = mkdtempSync(join(tmpdir(), 'message-push-redis-'));
    writeFileSync(this.#configFile, `${configLines(this).join('\n')}\n`);
    const kind = options.isSentinel === true ? 'the sentinel' : 'Redis';
    this.#endNote = noteForFailures(`${kind} on port ${port}`, () => this.#output);
  }

  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    const server = new RedisServer(options.port ?? (await freePort()), options);
    await server.start();
    return server;
  }

  /** `host:port`. */
  get address(): string {
    return `${this.host}:${this.port}`;
  }

  get dataDir(): string {
    return join(this.folder, 'data');
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error('the Redis server does not run');
    return pid;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Its output since the last start. */
  get output(): string {
    return this.#output;
  }

  get #configFile(): string {
    return join(this.folder, 'redis.conf');
  }

  /** Starts it and waits until it has loaded its data. */
  async start(): Promise<void> {
    if (this.isRunning) throw new Error('the Redis server runs already');
    mkdirSync(this.dataDir, { recursive: true });
    const { launcher = [], isSentinel = false } = this.options;
    const [command, ...args] = [...launcher, 'redis-server', this.#configFile];
    this.#output = '';
    const child = spawn(command, isSentinel ? [...args, '--sentinel'] : args, {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const keep = (text: string): void => {
      this.#output = (this.#output + text).slice(-MAX_OUTPUT_CHARS);
    };
    child.stdout?.setEncoding('utf8').on('data', keep);
    child.stderr?.setEncoding('utf8').on('data', keep);
    running.add(child);
    child.once('exit', () => running.delete(child));
    this.#child = child;
    const ready = isSentinel ? 'Sentinel ID is' : 'Ready to accept connections';
    await waitFor(
      'a Redis server',
      () => {
        if (!this.isRunning) throw new Error(`the Redis server ended while starting: ${this.#output}`);
        return this.#output.includes(ready);
      },
      { timeoutMs: START_TIMEOUT_MS, describe: () => this.#output },
    );
  }

  /** The text of the answer; a list has one entry per line. */
  command(...args: string[]): Promise<string> {
    return this.#cli(args);
  }

  /** Sends many commands, one per line, over one connection; returns the answers one after the other. */
  commands(lines: readonly string[]): Promise<string> {
    return this.#cli([], `${lines.join('\n')}\n`);
  }

  #cli(args: readonly string[], input?: string): Promise<string> {
    const { password, user, tls, launcher } = this.options;
    const secret = user?.password ?? password;
    const own = ['-e', '-h', this.host, '-p', String(this.port)];
    if (user !== undefined) own.push('--user', user.name);
    if (tls !== undefined) own.push('--tls', '--cacert', tls.ca);
    return redisCli([...own, ...args], {
      ...(launcher && { launcher }),
      ...(secret !== undefined && { env: { REDISCLI_AUTH: secret } }),
      ...(input !== undefined && { input }),
    });
  }

  /** A field of `INFO`. */
  async info(section: string, field: string): Promise<string | undefined> {
    const text = await this.command('INFO', section);
    const line = text.split(/\r?\n/).find((l) => l.startsWith(`${field}:`));
    return line?.slice(field.length + 1);
  }

  /** Stops the process with SIGSTOP: connections stay open and nothing is answered. */
  freeze(): void {
    this.#child?.kill('SIGSTOP');
  }

  /** Continues it with SIGCONT. */
  thaw(): void {
    this.#child?.kill('SIGCONT');
  }

  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#exited();
  }

  /** Sends SIGTERM and waits for the end. */
  async stop(): Promise<void> {
    this.#child?.kill('SIGTERM');
    await this.#exited();
  }

  /** Kills it if it runs and starts it on the same port, without its data when `isEmptied`. */
  async restart({ isEmptied = false }: { isEmptied?: boolean } = {}): Promise<void> {
    if (this.isRunning) await this.kill();
    if (isEmptied) rmSync(this.dataDir, { recursive: true });
    await this.start();
  }

  async dispose(): Promise<void> {
    if (this.isRunning) await this.kill();
    this.#endNote();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #exited(): Promise<void> {
    const child = this.#child;
    if (child !== undefined && this.isRunning) await within('the end of Redis', 20_000, once(child, 'exit'));
  }
}

function configLines({ host, port, dataDir, options }: RedisServer): string[] {
  const { isSentinel = false, isDurable = true, password, user, tls, maxMemory, config = [] } = options;
  const lines = [`bind ${host}`, `dir ${dataDir}`, 'protected-mode no'];
  if (tls === undefined) lines.push(`port ${port}`);
  else {
    lines.push('port 0', `tls-port ${port}`, `tls-ca-cert-file ${tls.ca}`, `tls-cert-file ${tls.cert}`);
    lines.push(`tls-key-file ${tls.key}`, 'tls-auth-clients optional');
  }
  if (!isSentinel) {
    lines.push('save ""', `appendonly ${isDurable ? 'yes' : 'no'}`, 'appendfsync everysec');
    // By default a master waits five seconds for more replicas before the first copy.
    lines.push('repl-diskless-sync-delay 0');
  }
  if (password !== undefined) lines.push(`requirepass ${password}`);
  if (user !== undefined) {
    lines.push('user default off', `user ${user.name} on >${user.password} ${user.rules ?? '~* &* +@all'}`);
  }
  if (maxMemory !== undefined) {
    lines.push(`maxmemory ${maxMemory.limit}`, `maxmemory-policy ${maxMemory.policy}`);
  }
  return [...lines, ...config];
}
