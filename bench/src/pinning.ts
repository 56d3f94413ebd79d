/**
 * Pins the server to one core and the load to others, so that the server is measured on exactly one core and the load
 * takes none of its time. `taskset` execs the program, so the process id is that of the program.
 */
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';

export interface Pinning {
  readonly server: string | undefined;
  readonly load: string | undefined;
  /** Reason why nothing is pinned. */
  readonly reason?: string;
}

export function choosePinning(serverCores: string, loadCores: string | undefined): Pinning {
  const cores = availableParallelism();
  if (cores < 2) return { server: undefined, load: undefined, reason: 'there is only one core' };
  if (spawnSync('taskset', ['-V']).status !== 0) {
    return { server: undefined, load: undefined, reason: 'taskset is not installed' };
  }
  return { server: serverCores, load: loadCores ?? (cores === 2 ? '1' : `1-${cores - 1}`) };
}

/** Returns a command line that runs `command` on `cores`. */
export function pinnedCommand(
  cores: string | undefined,
  command: string,
  args: readonly string[],
): { command: string; args: string[] } {
  if (cores === undefined) return { command, args: [...args] };
  return { command: 'taskset', args: ['-c', cores, command, ...args] };
}

/** Does the same for `fork`, which puts `execArgv` before the module. */
export function pinnedFork(cores: string | undefined): { execPath: string; execArgv: string[] } {
  const { command, args } = pinnedCommand(cores, process.execPath, []);
  return { execPath: command, execArgv: args };
}
