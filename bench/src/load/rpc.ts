/**
 * Calls between the benchmark and its worker processes over the fork's IPC channel. An `Api` maps a call's name
 * to a function type of one argument; results and arguments are structured-cloned, so typed arrays pass.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { track } from '../children.ts';
import { pinnedFork } from '../pinning.ts';

// Only a call's own handler knows the type of its parameter.
type Api<T> = { [K in keyof T]: (argument: never) => unknown };
type Result<F> = F extends (argument: never) => infer R ? Awaited<R> : never;
type Argument<F> = F extends (argument: infer A) => unknown ? A : never;

interface Call {
  readonly id: number;
  readonly name: string;
  readonly argument: unknown;
}

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

/** The worker's side: answers calls until the parent disconnects, then ends the process. */
export function serveCalls<T extends Api<T>>(handlers: T): void {
  const byName = new Map<string, (argument: never) => unknown>(Object.entries(handlers));
  process.on('message', (message: unknown) => {
    const call = message as Call;
    void answerCall(byName.get(call.name), call).then((answer) => process.send?.(answer));
  });
  process.on('disconnect', () => process.exit(0));
}

async function answerCall(handler: ((argument: never) => unknown) | undefined, call: Call): Promise<Answer> {
  try {
    if (handler === undefined) throw new Error(`no such call: ${call.name}`);
    return { id: call.id, result: await handler(call.argument as never) };
  } catch (error) {
    return { id: call.id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

/** The number of load processes and their cores. */
export interface Crew {
  readonly workers: number;
  readonly cores: string | undefined;
}

export interface WorkerOptions {
  readonly modulePath: string;
  /** Cores in `taskset` notation; `undefined` when nothing is pinned. */
  readonly cores: string | undefined;
}

/** The parent's side: one worker process. */
export class Worker<T extends Api<T>> {
  readonly #child: ChildProcess;
  readonly #pending = new Map<
    number,
    { resolve: (result: unknown) => void; reject: (error: Error) => void }
  >();
  #nextId = 1;

  constructor(options: WorkerOptions) {
    const { execPath, execArgv } = pinnedFork(options.cores);
    this.#child = fork(options.modulePath, [], {
      execPath,
      execArgv,
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    track(this.#child);
    this.#child.on('message', (message: unknown) => this.#settle(message as Answer));
    this.#child.on('exit', (code, signal) => this.#fail(`ended with ${signal ?? code}`));
    this.#child.on('error', (error) => this.#fail(error.message));
  }

  call<K extends keyof T & string>(
    name: K,
    argument: Argument<T[K]>,
    timeoutMs = 120_000,
  ): Promise<Result<T[K]>> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new Error(`a load worker did not answer ${name} within ${timeoutMs} ms`));
      }, timeoutMs);
      const settle = (end: () => void) => {
        clearTimeout(timer);
        end();
      };
      this.#pending.set(id, {
        resolve: (result) => settle(() => resolve(result as Result<T[K]>)),
        reject: (error) => settle(() => reject(error)),
      });
      this.#child.send({ id, name, argument } satisfies Call);
    });
  }

  /** Ends the worker; its sockets end with it. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => this.#child.once('exit', () => resolve()));
    this.#child.kill('SIGKILL');
    await ended;
  }

  #settle(answer: Answer): void {
    const pending = this.#pending.get(answer.id);
    this.#pending.delete(answer.id);
    if (answer.error === undefined) pending?.resolve(answer.result);
    else pending?.reject(new Error(`load worker: ${answer.error}`));
  }

  #fail(why: string): void {
    for (const pending of this.#pending.values()) pending.reject(new Error(`a load worker ${why}`));
    this.#pending.clear();
  }
}
