/**
 * One worker process, forked by `node:cluster`, so that it can use the primary's socket where a port cannot be shared
 * otherwise, and so that it exits when the primary process is gone.
 *
 * Its standard output is a pipe that is read here line by line. If it were inherited, lines of several processes would
 * be interleaved, and rotating one file from several processes loses lines.
 */
import cluster from 'node:cluster';
import { LineSplitter } from './line-splitter.ts';
import type { WorkerEnd, WorkerProcess } from './supervisor.ts';
import type { FromWorker, ToWorker } from './worker-messages.ts';

export interface ForkedWorker extends WorkerProcess {
  readonly pid: number | undefined;
  send(message: ToWorker): void;
}

export interface ForkOptions {
  /** Added to the environment of this process. */
  readonly env: Readonly<Record<string, string>>;
  readonly onMessage: (message: FromWorker) => void;
  readonly onLine: (line: string) => void;
  /** Called once, after the last line. */
  readonly onEnded: (end: WorkerEnd) => void;
}

/** Sets the file that workers run. Must be called before the first `forkWorker`. */
export function setWorkerProgram(program: string): void {
  cluster.setupPrimary({ exec: program, args: [], stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
}

export function forkWorker({ env, onMessage, onLine, onEnded }: ForkOptions): ForkedWorker {
  const worker = cluster.fork(env);
  const child = worker.process;
  const lines = new LineSplitter(onLine);
  child.stdout?.setEncoding('utf8').on('data', (text: string) => lines.push(text));
  worker.on('message', onMessage);
  let hasEnded = false;
  const end = (code: number | null, signal: string | null): void => {
    if (hasEnded) return;
    hasEnded = true;
    lines.end();
    onEnded({ code, signal });
  };
  child.on('close', end);
  worker.on('error', (error: NodeJS.ErrnoException) => {
    // A process that could not be started emits nothing else. Other errors are followed by its end.
    if (child.pid === undefined) end(null, error.code ?? error.message);
  });
  const send = (message: ToWorker): void => {
    // A disconnected worker is ending, which 'close' reports.
    if (worker.isConnected()) child.send(message, () => undefined);
  };
  return {
    pid: child.pid,
    send,
    stop: () => send({ type: 'stop' }),
    kill: (signal) => {
      child.kill(signal);
    },
  };
}
