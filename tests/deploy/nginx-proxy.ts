/** nginx with the configuration that operators get, on ports of the test's own. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { request } from '../support/http.ts';
import { freePort } from '../support/server.ts';
import { waitFor, within } from '../support/wait.ts';

const CONFIG = fileURLToPath(new URL('../../config/nginx.conf', import.meta.url));
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export interface NginxProxyOptions {
  /** Without TLS and HTTP/2, where what is behind them is tested with thousands of streams. */
  readonly isPlain?: boolean;
}

export class NginxProxy {
  readonly port: number;
  readonly folder: string;
  readonly #isPlain: boolean;
  #child: ChildProcess | undefined;
  #output = '';

  private constructor(port: number, isPlain: boolean) {
    this.port = port;
    this.#isPlain = isPlain;
    this.folder = mkdtempSync(join(tmpdir(), 'message-push-nginx-'));
    // Its workers are of another user.
    chmodSync(this.folder, 0o755);
  }

  /** In front of services on these ports. */
  static async start(
    backends: readonly number[],
    { isPlain = false }: NginxProxyOptions = {},
  ): Promise<NginxProxy> {
    const proxy = new NginxProxy(await freePort(), isPlain);
    mkdirSync(join(proxy.folder, 'ssl'));
    const key = ['-keyout', join(proxy.folder, 'ssl/key.pem'), '-out', join(proxy.folder, 'ssl/cert.pem')];
    const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=localhost'];
    execFileSync('openssl', ['req', '-x509', ...ec, ...key], { stdio: 'ignore' });
    proxy.configure(backends, await freePort());
    const child = spawn('nginx', ['-c', proxy.#file, '-g', 'daemon off;'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (part) => (proxy.#output += String(part)));
    running.add(child);
    child.once('exit', () => running.delete(child));
    proxy.#child = child;
    await waitFor(
      'nginx',
      async () => {
        if (child.exitCode !== null) throw new Error(`nginx ended: ${proxy.#output}`);
        return (await proxy.answers()) || undefined;
      },
      { describe: () => proxy.#output },
    );
    return proxy;
  }

  get #file(): string {
    return join(this.folder, 'nginx.conf');
  }

  /** Writes the configuration: only addresses and paths are the test's. */
  configure(backends: readonly number[], plainPort: number): void {
    const servers = backends.map((port) => `server 127.0.0.1:${port} max_fails=3 fail_timeout=2s;`);
    const text = readFileSync(CONFIG, 'utf8')
      .replace('server 127.0.0.1:8089 max_fails=3 fail_timeout=2s;', servers.join('\n        '))
      .replaceAll('/etc/nginx/ssl/message-push-service', join(this.folder, 'ssl'))
      .replaceAll('/var/log/nginx', this.folder)
      .replace('/run/nginx.pid', join(this.folder, 'nginx.pid'))
      .replaceAll(/(listen (?:\[::\]:)?)80 /g, `$1${plainPort} `)
      .replaceAll(
        /(listen (?:\[::\]:)?)443 ssl http2 /g,
        `$1${this.port} ${this.#isPlain ? '' : 'ssl http2 '}`,
      );
    writeFileSync(this.#file, text);
  }

  get url(): string {
    return `${this.#isPlain ? 'http' : 'https'}://127.0.0.1:${this.port}`;
  }

  async answers(): Promise<boolean> {
    if (this.#isPlain) return isAnswering(`${this.url}/nginx-health`);
    const session = connect(`https://127.0.0.1:${this.port}`, { rejectUnauthorized: false });
    try {
      await within('a connection', 2000, once(session, 'connect'));
      return true;
    } catch (error) {
      if (error instanceof Error) return false;
      throw error;
    } finally {
      session.destroy();
    }
  }

  /** `nginx -s reload`, and the certainty that new workers serve. */
  async reload(): Promise<void> {
    const before = this.workers();
    this.#child?.kill('SIGHUP');
    await waitFor('new workers of nginx', () => this.workers().some((pid) => !before.includes(pid)));
  }

  workers(): string[] {
    const { pid } = this.#child ?? {};
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  }

  accessLog(): string {
    return readFileSync(join(this.folder, 'access.log'), 'utf8');
  }

  async dispose(): Promise<void> {
    const child = this.#child;
    if (child !== undefined && child.exitCode === null) {
      child.kill('SIGTERM');
      await within('the end of nginx', 20_000, once(child, 'exit'));
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function isAnswering(url: string): Promise<boolean> {
  try {
    return (await request(url, { timeoutMs: 2000 })).status === 200;
  } catch (error) {
    if (error instanceof Error) return false;
    throw error;
  }
}
