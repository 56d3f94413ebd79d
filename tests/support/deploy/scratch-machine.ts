/**
 * A machine of a test's own, made of Linux namespaces: its processes, its network (so that the ports of the guide
 * are free) and what it writes under `/etc`, `/run` and `/var` end with it, and this machine sees none of them. The
 * program files are those of this machine. Needs root.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '../wait.ts';

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** What it reads; nothing by default. */
  readonly input?: string;
  readonly timeoutMs?: number;
}

export interface Ran {
  readonly status: number | null;
  /** Standard output and standard error as they came. */
  readonly output: string;
}

export interface MachineOptions {
  /** False: it is on this machine's network, so that whoever is outside reaches its programs. */
  readonly hasOwnNetwork: boolean;
}

/** Layers over the folders that programs of the test write to; the first process keeps all alive. */
const BOOT = `
set -e
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs "$1"
for folder in etc var; do
  mkdir -p "$1/$folder" "$1/$folder.work"
  mount -t overlay overlay -o "lowerdir=/$folder,upperdir=$1/$folder,workdir=$1/$folder.work" "/$folder"
done
mount -t tmpfs tmpfs /run
if [ -n "$2" ]; then ip link set lo up; fi
echo up
read -r _ || true
`;
const OWN_NAMESPACES = ['--mount', '--pid', '--fork', '--kill-child=KILL'];
const START_TIMEOUT_MS = 60_000;
const COMMAND_TIMEOUT_MS = 120_000;
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class ScratchMachine {
  /** For homes and whatever else it keeps outside the layers. */
  readonly folder: string;
  readonly #layers: string;
  readonly #namespaces: readonly string[];
  readonly #child: ChildProcess;
  #pid = '';

  private constructor({ hasOwnNetwork }: MachineOptions) {
    this.#namespaces = hasOwnNetwork ? ['--net'] : [];
    this.folder = mkdtempSync(join(tmpdir(), 'message-push-machine-'));
    this.#layers = mkdtempSync(join(tmpdir(), 'message-push-layers-'));
    const boot = ['bash', '-c', BOOT, 'bash', this.#layers, ...this.#namespaces];
    this.#child = spawn('unshare', [...OWN_NAMESPACES, ...this.#namespaces, ...boot], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    running.add(this.#child);
    this.#child.once('exit', () => running.delete(this.#child));
  }

  static async start(options: MachineOptions = { hasOwnNetwork: true }): Promise<ScratchMachine> {
    const machine = new ScratchMachine(options);
    let output = '';
    for (const stream of [machine.#child.stdout, machine.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    await waitFor(
      'a scratch machine',
      () => {
        if (machine.#child.exitCode !== null) throw new Error(`no scratch machine is to be had: ${output}`);
        return output.startsWith('up');
      },
      { timeoutMs: START_TIMEOUT_MS, describe: () => output },
    );
    const { pid } = machine.#child;
    machine.#pid = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    return machine;
  }

  /** Starts a program there. */
  spawn(command: string, options: RunOptions = {}): ChildProcess {
    const { cwd = this.folder, env = {} } = options;
    const inside = ['--target', this.#pid, '--mount', ...this.#namespaces, '--pid', `--wd=${cwd}`];
    return spawn('nsenter', [...inside, 'bash', '-c', command], {
      env: { PATH: process.env['PATH'], HOME: this.folder, LANG: 'C.UTF-8', ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
  }

  /** Runs commands there to their end. What they leave in the background stays until the machine ends. */
  run(command: string, options: RunOptions = {}): Promise<Ran> {
    const { input = '', timeoutMs = COMMAND_TIMEOUT_MS } = options;
    const child = this.spawn(command, options);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    child.stdin?.on('error', () => undefined).end(input);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        child.kill('SIGKILL');
        reject(new Error(`not done within ${timeoutMs} ms: ${command}\n${output}`));
      }, timeoutMs);
      // Daemons may hold the pipes open: what counts is the end of the command itself.
      child.once('exit', (status) => {
        clearTimeout(timer);
        setImmediate(() => resolve({ status, output }));
      });
    });
  }

  async dispose(): Promise<void> {
    this.#child.kill('SIGKILL');
    await waitFor('the end of the scratch machine', () => this.#child.signalCode !== null);
    rmSync(this.folder, { recursive: true, force: true });
    rmSync(this.#layers, { recursive: true, force: true });
  }
}

/** Why there can be no such machine here, which is also printed; undefined when there can. */
export function scratchMachineProblem(): string | undefined {
  const layers = mkdtempSync(join(tmpdir(), 'message-push-layers-'));
  try {
    // All of it: a container may permit the namespaces and yet refuse the mounts. It ends with its empty input.
    execFileSync('unshare', [...OWN_NAMESPACES, '--net', 'bash', '-c', BOOT, 'bash', layers, '--net'], {
      input: '',
      stdio: 'pipe',
      timeout: START_TIMEOUT_MS,
    });
    return undefined;
  } catch (error) {
    // The last line is what the program itself says; those before it are the command.
    const said = (error as Error).message.trim().split('\n').at(-1);
    const problem = `no scratch machine is to be had here, which takes root and namespaces: ${said}`;
    console.warn(`Skipped, ${problem}`);
    return problem;
  } finally {
    rmSync(layers, { recursive: true, force: true });
  }
}
