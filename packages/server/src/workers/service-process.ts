/**
 * What every process of the service does with its log, its faults and its end: nothing that was logged is lost when
 * it ends, an error that nobody expected ends it with 1, and a second signal ends it at once.
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
  /** Ends at once. */
  readonly end: (status: number) => Promise<never>;
  /** Says what went wrong and ends at once, with 1. */
  readonly fail: (error: unknown, message: string) => Promise<never>;
  /** Ends when the log is written and closed. */
  readonly endInOrder: (status: number) => Promise<never>;
}

export interface ServiceProcessOptions {
  readonly config: Pick<Config, 'service' | 'log'>;
  readonly place: ProcessPlace;
  /** Counts for the metrics. */
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
    void fail(error, 'an error that nothing expected; the process ends');
  };
  process.on('uncaughtException', onFault);
  // Node makes it an uncaught exception unless somebody listens, and PM2 does.
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
 * Calls `stop` at the first signal, `endAtOnce` at the second. A terminal, systemd and PM2 signal every process of
 * the service, so that a worker hears of a stop twice: from its primary process and directly. Only signals count.
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

/** For an output that PM2 has replaced by a stream of its own, which is not written when `write` returns. */
const OUTPUT_TIMEOUT_MS = 1000;

/** Exits at once, or when `output` has been written, within a second. */
export function exitWhenWritten(status: number, output: NodeJS.WriteStream | undefined): Promise<never> {
  if (output === undefined) return process.exit(status);
  return new Promise(() => {
    const exit = (): void => process.exit(status);
    setTimeout(exit, OUTPUT_TIMEOUT_MS);
    output.write('', 'utf8', exit);
  });
}
