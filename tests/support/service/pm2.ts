/**
 * A PM2 for one test: its daemon has its own home and ends with the test. PM2 is run as a program; if it is not in
 * `PATH`, `scripts/test.sh` installs it beside the packages.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from '../repository.ts';
import { SERVER_ENTRY, serverEnv } from './server.ts';

const INSTALLED = join(ROOT, 'node_modules/.pm2/node_modules/pm2/bin/pm2');
const COMMAND_TIMEOUT_MS = 90_000;
const run = promisify(execFile);

export interface Pm2App {
  readonly name: string;
  readonly instances: number;
  readonly env: Readonly<Record<string, string>>;
}

export interface Pm2Process {
  readonly pid: number;
  readonly pm2_env: { readonly status: string; readonly restart_time: number };
}

export class Pm2 {
  readonly home = mkdtempSync(join(tmpdir(), 'message-push-pm2-'));

  /** Starts instances of the service in cluster mode and waits until they say that they are ready. */
  async start({ name, instances, env }: Pm2App): Promise<void> {
    const file = join(this.home, 'ecosystem.config.json');
    const app = {
      name,
      script: SERVER_ENTRY,
      exec_mode: 'cluster',
      instances,
      wait_ready: true,
      listen_timeout: 20_000,
      kill_timeout: 30_000,
      env: serverEnv(this.home, env),
    };
    writeFileSync(file, JSON.stringify({ apps: [app] }));
    await this.#pm2('start', file);
  }

  async reload(name: string): Promise<void> {
    await this.#pm2('reload', name);
  }

  async stop(name: string): Promise<void> {
    await this.#pm2('stop', name);
  }

  async processes(): Promise<Pm2Process[]> {
    return JSON.parse(await this.#pm2('jlist')) as Pm2Process[];
  }

  /** The logs that `pm2 logs` shows. */
  logs(): string {
    const folder = join(this.home, 'logs');
    return readdirSync(folder)
      .map((file) => readFileSync(join(folder, file), 'utf8'))
      .join('');
  }

  /** The daemon's own log, which says how processes ended. */
  daemonLog(): string {
    return readFileSync(join(this.home, 'pm2.log'), 'utf8');
  }

  /** Ends the daemon and everything that it runs. */
  async dispose(): Promise<void> {
    await this.#pm2('kill');
    rmSync(this.home, { recursive: true, force: true });
  }

  async #pm2(...args: string[]): Promise<string> {
    const [command, ...first] = existsSync(INSTALLED) ? [process.execPath, INSTALLED] : ['pm2'];
    const { stdout } = await run(command, [...first, ...args], {
      env: { PATH: process.env['PATH'], HOME: this.home, PM2_HOME: this.home, PM2_DISCRETE_MODE: 'true' },
      timeout: COMMAND_TIMEOUT_MS,
    });
    return stdout;
  }
}
