/**
 * A scratch machine, made of Linux namespaces. Its processes, its network (so that the ports of the guide are free) and
 * its changes to `/etc`, `/run` and `/var` end with it, and this machine sees none of them. The program files are those
 * of this machine. Needs root.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '../wait.ts';

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Standard input; empty by default. */
  readonly input?: string;
  readonly timeoutMs?: number;
}

export interface Ran {
  readonly status: number | null;
  /** Standard output and standard error, in the order of arrival. */
  readonly output: string;
}

export interface MachineOptions {
  /** False puts it on this machine's network, so that its programs can be reached from outside. */
  readonly hasOwnNetwork: boolean;
}

/** Mounts layers over the folders that programs write to; the first process keeps everything alive. */
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
  /** A folder outside the layers, for homes and other files. */
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

  /** Starts a program on the machine. */
  spawn(command: string, options: RunOptions = {}): ChildProcess {
    const { cwd = this.folder, env = {} } = options;
    const inside = ['--target', this.#pid, '--mount', ...this.#namespaces, '--pid', `--wd=${cwd}`];
    return spawn('nsenter', [...inside, 'bash', '-c', command], {
      env: { PATH: process.env['PATH'], HOME: this.folder, LANG: 'C.UTF-8', ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
  }

  /** Runs commands to their end. Background processes stay until the machine ends. */
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
      // Daemons may hold the pipes open, so the end of the command itself counts.
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

/** The reason why scratch machines are not possible here, which is also printed; `undefined` when they are. */
export function scratchMachineProblem(): string | undefined {
  const layers = mkdtempSync(join(tmpdir(), 'message-push-layers-'));
  try {
    // Boots one completely: a container may allow the namespaces but not the mounts. It ends at the end of its input.
    execFileSync('unshare', [...OWN_NAMESPACES, '--net', 'bash', '-c', BOOT, 'bash', layers, '--net'], {
      input: '',
      stdio: 'pipe',
      timeout: START_TIMEOUT_MS,
    });
    return undefined;
  } catch (error) {
    // The last line is the program's own message; the lines before it repeat the command.
    const said = (error as Error).message.trim().split('\n').at(-1);
    const problem = `no scratch machine is to be had here, which takes root and namespaces: ${said}`;
    console.warn(`Skipped, ${problem}`);
    return problem;
  } finally {
    rmSync(layers, { recursive: true, force: true });
  }
}
