/**
 * The log, the faults and the end of every process of the service. No logged line is lost when the process exits, an
 * unexpected error exits with status 1, and a second signal exits at once.
 */
import type { Config } from '../config/config.ts';
import { type Log, type OpenLog, openLog } from '../observe/log/log.ts';
import { ReplacedStdoutTarget } from '../observe/log/log-targets.ts';
import type { ProcessPlace } from './process-place.ts';

export const STOP_SIGNALS = { SIGINT: 2, SIGTERM: 15 } as const;
export type StopSignal = keyof typeof STOP_SIGNALS;

export interface ServiceProcess {
  readonly log: Log;
  readonly writeLine: OpenLog['writeLine'];
  /** Exits at once. */
  readonly end: (status: number) => Promise<never>;
  /** Logs the error and exits at once with status 1. */
  readonly fail: (error: unknown, message: string) => Promise<never>;
  /** Exits when the log is written and closed. */
  readonly endInOrder: (status: number) => Promise<never>;
}

export interface ServiceProcessOptions {
  readonly config: Pick<Config, 'service' | 'log'>;
  readonly place: ProcessPlace;
  /** Counters of the metrics. */
  readonly counters: { lostLines: number };
}

export function openServiceProcess({ config, place, counters }: ServiceProcessOptions): ServiceProcess {
  const isOutputReplaced = place.kind === 'instance';
  const { log, writeLine, flushSync, close } = openLog({
    ...config.log,
    service: config.service.name,
    environment: config.service.environment,
    ...(place.kind !== 'alone' && { worker: place.index }),
    ...(isOutputReplaced && { output: new ReplacedStdoutTarget() }),
    counters,
  });
  const end = (status: number): Promise<never> => {
    flushSync();
    return exitWhenWritten(status, isOutputReplaced ? process.stdout : undefined);
  };
  const fail = (error: unknown, message: string): Promise<never> => {
    log.fatal({ err: error }, message);
    return end(1);
  };
  const onFault = (error: unknown): void => {
    void fail(error, 'unexpected error; the process exits');
  };
  process.on('uncaughtException', onFault);
  // Node turns it into an uncaught exception unless there is a listener, and PM2 adds one.
  process.on('unhandledRejection', onFault);
  return {
    log,
    writeLine,
    end,
    fail,
    endInOrder: async (status) => {
      await close();
      return process.exit(status);
    },
  };
}

/**
 * Calls `stop` at the first signal and `endAtOnce` at the second. A terminal, systemd and PM2 signal every process of
 * the service, so a worker learns of a stop twice: by the signal and from its primary process. Only signals count here.
 */
export function onStopSignals(
  stop: (signal: StopSignal) => void,
  endAtOnce: (status: number) => unknown,
): void {
  let hasStopped = false;
  for (const [signal, number] of Object.entries(STOP_SIGNALS) as [StopSignal, number][]) {
    process.on(signal, () => {
      if (hasStopped) endAtOnce(128 + number);
      hasStopped = true;
      stop(signal);
    });
  }
}

/**
 * Bound on the wait for an output that PM2 has replaced by its own stream, whose `write` returns before it has
 * written.
 */
const OUTPUT_TIMEOUT_MS = 1000;

/** Exits at once; with an `output`, when it has been written, but after a second at the latest. */
export function exitWhenWritten(status: number, output: NodeJS.WriteStream | undefined): Promise<never> {
  if (output === undefined) return process.exit(status);
  return new Promise(() => {
    const exit = (): void => process.exit(status);
    setTimeout(exit, OUTPUT_TIMEOUT_MS);
    output.write('', 'utf8', exit);
  });
}
