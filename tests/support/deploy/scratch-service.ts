/** A copy of this checkout on a scratch machine, where the operators' scripts are run. */
import { existsSync, globSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../repository.ts';
import { scratchCopy } from './scratch-copy.ts';
import { type MachineOptions, type Ran, type RunOptions, ScratchMachine } from './scratch-machine.ts';

export class ScratchService {
  readonly #folder = mkdtempSync(join(tmpdir(), 'message-push-copy-'));
  readonly root = join(this.#folder, 'message-push-service');
  #machine: ScratchMachine | undefined;

  /** A folder with what operators have in `PATH` besides the system's programs: a recent Node.js and PM2. */
  readonly #programs = join(this.#folder, 'programs');

  constructor() {
    mkdirSync(this.root);
    scratchCopy(this.root);
    mkdirSync(this.#programs);
    symlinkSync(process.execPath, join(this.#programs, 'node'));
    const pm2 = join(ROOT, 'node_modules/.pm2/node_modules/pm2/bin/pm2');
    if (existsSync(pm2)) symlinkSync(pm2, join(this.#programs, 'pm2'));
  }

  get path(): string {
    return `${this.#programs}:${process.env['PATH']}`;
  }

  get machine(): ScratchMachine {
    if (this.#machine === undefined) throw new Error('the scratch machine does not run');
    return this.#machine;
  }

  /** Boots a new machine, on which nothing was ever started or configured. */
  async boot(options?: MachineOptions): Promise<void> {
    for (const name of ['run', 'data', ...globSync('{config/*.env,logs/*.log*}', { cwd: this.root })]) {
      rmSync(join(this.root, name), { recursive: true, force: true });
    }
    this.#machine = await ScratchMachine.start(options);
  }

  async shutDown(): Promise<void> {
    await this.#machine?.dispose();
    this.#machine = undefined;
  }

  async dispose(): Promise<void> {
    await this.shutDown();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Runs commands in the root of the copy. */
  run(command: string, options: RunOptions = {}): Promise<Ran> {
    const env = { PATH: this.path, PM2_DISCRETE_MODE: 'true', ...options.env };
    return this.machine.run(command, { cwd: this.root, ...options, env });
  }

  /** Like `run`, but throws with the output when the status is not 0. */
  async succeed(command: string, options: RunOptions = {}): Promise<string> {
    const { status, output } = await this.run(command, options);
    if (status !== 0) throw new Error(`${command} ended with ${status}: ${output}`);
    return output;
  }

  /** Runs the command in the background, with its output in `run/output`, and waits until the service is ready. */
  async serve(command: string): Promise<void> {
    await this.succeed(`mkdir -p run; setsid ${command} >run/output 2>&1 </dev/null & ${waitUntilReady(60)}`);
  }

  async status(): Promise<StatusReport> {
    const { output } = await this.run('scripts/status.sh --json');
    return JSON.parse(output) as StatusReport;
  }
}

export interface StatusReport {
  readonly status: string;
  readonly environment: string;
  readonly runner: string | null;
  readonly version: string | null;
  readonly processes: readonly { readonly pid: number }[];
  readonly streams?: { readonly open: number };
  readonly engine: { readonly type: string } | null;
  readonly redis: { readonly address: string; readonly status: string } | null;
  readonly recent_errors: readonly { readonly message: string }[];
  readonly next_steps: readonly string[];
}

function waitUntilReady(seconds: number): string {
  return `scripts/with-node.sh scripts/lib/check-health.mjs --wait ${seconds}`;
}
