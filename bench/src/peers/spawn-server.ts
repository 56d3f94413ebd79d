/** Starts a server process and waits until it answers. Its output is shown only when it fails. */
import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { endChild, track } from '../children.ts';
import { pinnedCommand } from '../pinning.ts';

export interface ServerCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly cores: string | undefined;
  readonly port: number;
  readonly healthPath: string;
  readonly directory: string;
  readonly env: Readonly<Record<string, string>>;
}

const START_TIMEOUT_MS = 20_000;
const MAX_SHOWN_OUTPUT = 4000;

export async function spawnServer(server: ServerCommand): Promise<ChildProcess> {
  const { command, args } = pinnedCommand(server.cores, server.command, server.args);
  const { PATH } = process.env;
  const child = spawn(command, args, {
    cwd: server.directory,
    // Only what a program needs to run: variables of the caller's shell must not configure the server.
    env: { PATH, HOME: server.directory, ...server.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  track(child);
  let output = '';
  const keep = (text: Buffer) => {
    output = (output + text.toString()).slice(-MAX_SHOWN_OUTPUT);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  child.on('error', (error) => keep(Buffer.from(error.message)));

  const deadline = performance.now() + START_TIMEOUT_MS;
  while (performance.now() < deadline && child.exitCode === null && child.signalCode === null) {
    if (await answers(`http://127.0.0.1:${server.port}${server.healthPath}`)) return child;
    await sleep(100);
  }
  await endChild(child, 2000);
  throw new Error(`${server.command} did not start:\n${output}`);
}

async function answers(url: string): Promise<boolean> {
  const response = await fetch(url, { signal: AbortSignal.timeout(1000) }).catch(() => undefined);
  await response?.arrayBuffer();
  return response?.ok === true;
}
