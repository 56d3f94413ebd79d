/**
 * The real server process of a test: the built program on ports and a folder of its own, started, killed by its
 * own pid and started again on the same ports and folder.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noteForFailures } from '../failure-notes.ts';
import { request } from '../http/http.ts';
import { freePort } from '../ports.ts';
import { ROOT } from '../repository.ts';
import { waitFor, within } from '../wait.ts';

/** `TEST_SERVER_ENTRY` in the environment puts another build to the test. */
export const SERVER_ENTRY = process.env['TEST_SERVER_ENTRY'] ?? join(ROOT, 'packages/server/dist/main.js');

export interface TestServerOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** A folder of the test's own; by default a new one, removed by `dispose`. */
  readonly dataDir?: string;
  /** A command that runs the server, as in `prlimit --fsize=… node …`. */
  readonly launcher?: readonly string[];
  /** The Node.js that it runs on; by default that of the tests. */
  readonly node?: string;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const READY_TIMEOUT_MS = 60_000;
const MAX_OUTPUT_CHARS = 20_000;
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** What a server of a test runs with: nothing of the environment of whoever runs the tests, and no env file. */
export function serverEnv(folder: string, env: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const configFile = join(folder, 'empty.env');
  writeFileSync(configFile, '');
  return {
    PATH: process.env['PATH'],
    CONFIG_FILE: configFile,
    SERVICE_HOST: '127.0.0.1',
    METRICS_HOST: '127.0.0.1',
    LOG_FILE: 'none',
    LOG_FORMAT: 'json',
    LOG_LEVEL: 'WARNING',
    ...env,
  };
}

export class TestServer {
  readonly port: number;
  readonly metricsPort: number;
  readonly folder: string;
  readonly dataDir: string;
  readonly #options: TestServerOptions;
  #env: Readonly<Record<string, string>>;
  #child: ChildProcess | undefined;
  #output = '';
  readonly #endNote: () => void;
  starts = 0;

  private constructor(port: number, metricsPort: number, options: TestServerOptions) {
    this.port = port;
    this.metricsPort = metricsPort;
    this.folder = mkdtempSync(join(tmpdir(), 'message-push-'));
    this.dataDir = options.dataDir ?? join(this.folder, 'data');
    this.#options = options;
    this.#env = options.env ?? {};
    this.#endNote = noteForFailures(`the service on port ${port}`, () => this.#output);
  }

  static async start(options: TestServerOptions = {}): Promise<TestServer> {
    const server = new TestServer(await freePort(), await freePort(), options);
    await server.start();
    return server;
  }

  get url(): string {
    return `${this.#env['ENABLE_SSL'] === 'true' ? 'https' : 'http'}://127.0.0.1:${this.port}`;
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error('the server does not run');
    return pid;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Its output since the last start. */
  get output(): string {
    return this.#output;
  }

  /** Resident memory in bytes. */
  get residentBytes(): number {
    const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'));
    return Number(match?.[1] ?? 0) * 1024;
  }

  /** Starts the process without waiting. */
  spawn(): void {
    if (this.isRunning) throw new Error('the server runs already');
    const { launcher = [], node = process.execPath } = this.#options;
    const [command, ...args] = [...launcher, node, SERVER_ENTRY];
    this.#output = '';
    const child = spawn(command, args, {
      env: serverEnv(this.folder, {
        SERVICE_PORT: String(this.port),
        METRICS_PORT: String(this.metricsPort),
        DATA_DIR: this.dataDir,
        ...this.#env,
      }),
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
    this.starts++;
  }

  /** Like `spawn`; adds `env` permanently to the environment of this and later starts. */
  spawnWith(env: Readonly<Record<string, string>>): void {
    this.#env = { ...this.#env, ...env };
    this.spawn();
  }

  /** Starts it and waits until it is ready. Adds `env` permanently, like `spawnWith`. */
  async start(env: Readonly<Record<string, string>> = {}): Promise<void> {
    this.spawnWith(env);
    await this.ready();
  }

  async ready(): Promise<void> {
    await waitFor(
      'readiness',
      async () => {
        if (!this.isRunning) throw new Error(`the server ended while starting: ${this.#output}`);
        return (await this.readiness()) === 200;
      },
      { timeoutMs: READY_TIMEOUT_MS, pollMs: 15, describe: () => this.#output },
    );
  }

  /** Status of the readiness probe; `undefined` without an answer. */
  async readiness(): Promise<number | undefined> {
    try {
      return (await request(`${this.url}/sse/health/ready`, { timeoutMs: 2000 })).status;
    } catch (error) {
      // Refused, reset or timed out: there is no answer.
      if (error instanceof Error) return undefined;
      throw error;
    }
  }

  /** Sends a signal to this process only. */
  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  async exited(timeoutMs = 30_000): Promise<Exit> {
    const child = this.#child;
    if (child === undefined) throw new Error('the server was not started');
    if (this.isRunning) await within('the end of the server', timeoutMs, once(child, 'exit'));
    return { code: child.exitCode, signal: child.signalCode };
  }

  /** Kills it with `kill -9` and waits until it is gone. */
  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.exited();
  }

  /** Sends SIGTERM and waits for the end. */
  async stop(): Promise<Exit> {
    this.signal('SIGTERM');
    return this.exited();
  }

  async dispose(): Promise<void> {
    if (this.isRunning) await this.kill();
    this.#endNote();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
