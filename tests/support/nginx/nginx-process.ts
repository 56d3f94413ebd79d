/** A real nginx with a folder, a certificate and ports of its own; the configuration is the caller's. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noteForFailures } from '../failure-notes.ts';
import { waitFor, within } from '../wait.ts';

const running = new Set<ChildProcess>();
process.on('exit', () => {
  // A master that is killed leaves its workers behind.
  for (const child of running) child.kill('SIGTERM');
});

export class NginxProcess {
  readonly folder = mkdtempSync(join(tmpdir(), 'message-push-nginx-'));
  readonly certificate = join(this.folder, 'cert.pem');
  readonly certificateKey = join(this.folder, 'key.pem');
  #child: ChildProcess | undefined;
  #output = '';
  readonly #endNote = noteForFailures('nginx', () => this.#output);

  /** The certificate is for `host` and signs itself. */
  constructor(host: string) {
    // The workers of nginx run as another user.
    chmodSync(this.folder, 0o755);
    execFileSync(
      'openssl',
      'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test -addext'
        .split(' ')
        .concat(`subjectAltName=DNS:${host}`, '-keyout', this.certificateKey, '-out', this.certificate),
      { stdio: ['ignore', 'ignore', 'pipe'], timeout: 10_000 },
    );
  }

  /** Starts or restarts it and waits until it listens on `port`. */
  async start(config: string, port: number): Promise<void> {
    await this.stop();
    const file = join(this.folder, 'nginx.conf');
    writeFileSync(file, config);
    this.#output = '';
    const args = ['-p', this.folder, '-c', file, '-e', 'stderr', '-g', 'daemon off;'];
    const child = spawn('nginx', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#output += text;
      });
    }
    running.add(child);
    child.once('exit', () => running.delete(child));
    this.#child = child;
    await waitFor(
      'nginx',
      () => {
        if (child.exitCode !== null) throw new Error(`nginx ended: ${this.#output}`);
        return isListening(port);
      },
      { describe: () => this.#output },
    );
  }

  /** Reloads the configuration and waits until new workers serve. */
  async reload(): Promise<void> {
    const before = this.workers();
    this.#child?.kill('SIGHUP');
    await waitFor('new workers of nginx', () => this.workers().some((pid) => !before.includes(pid)));
  }

  workers(): string[] {
    const { pid } = this.#child ?? {};
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    await within('the end of nginx', 20_000, once(child, 'exit'));
  }

  async dispose(): Promise<void> {
    await this.stop();
    this.#endNote();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    // Refused: it does not listen yet.
    return false;
  } finally {
    socket.destroy();
  }
}
