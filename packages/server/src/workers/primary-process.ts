/**
 * The primary process of `WORKER_THREADS` > 1: forks the workers, writes their log, answers scrapes for all of them,
 * hands signals on and registers the service at a gateway. It serves no streams and knows no engine; each worker is a
 * node of its own.
 */
import type { Config } from '../config/config.ts';
import type { GatewayRegistrar } from '../gateway/gateway-registrar.ts';
import type { Log } from '../observe/log/log.ts';
import { mergeMetrics } from '../observe/metrics/merge-metrics.ts';
import { type MetricsServer, openMetricsServer } from '../observe/metrics/metrics-server.ts';
import { createPrimaryMetrics } from '../observe/metrics/primary-metrics.ts';
import { type ForkedWorker, forkWorker, setWorkerProgram } from './fork-worker.ts';
import { tryPort } from './listen.ts';
import { WORKER_VARIABLE, workerVariable } from './process-place.ts';
import { onStopSignals, openServiceProcess } from './service-process.ts';
import { Supervisor, type WorkerEnd } from './supervisor.ts';
import { WorkerMetrics } from './worker-metrics.ts';

export interface PrimaryProcessOptions {
  readonly config: Pick<Config, 'service' | 'metrics' | 'log'>;
  /** For the log. */
  readonly warnings: readonly string[];
  /** The file that a worker runs. */
  readonly program: string;
  /** A worker that has not ended this long after the drain window hangs. */
  readonly stopGraceMs: number;
  /** Registers the service, which listens on `port`; undefined: nowhere. */
  readonly registrarOf: (port: number, log: Log) => Pick<GatewayRegistrar, 'start' | 'stop'> | undefined;
}

/** Below the 10 s that Prometheus waits. */
const SCRAPE_TIMEOUT_MS = 3000;

/** Resolves when the workers are on their way. */
export async function runPrimaryProcess(options: PrimaryProcessOptions): Promise<void> {
  const { config, warnings, program, stopGraceMs, registrarOf } = options;
  const { service } = config;
  const workerMetrics = new WorkerMetrics(SCRAPE_TIMEOUT_MS);
  const metrics = createPrimaryMetrics(() =>
    supervisor.workers().map(({ index, restarts, process }) => ({
      index,
      restarts,
      isReady: process !== undefined,
    })),
  );
  const { log, writeLine, end, fail, endInOrder } = openServiceProcess({
    config,
    place: { kind: 'alone' },
    counters: metrics.log,
  });
  for (const warning of warnings) log.warn(warning);

  const address = { host: service.host, port: service.port, backlog: service.listenBacklog };
  const { port, sharing } = await tryPort(address).catch((error: Error) => fail(error, error.message));
  const registrar = registrarOf(port, log);
  setWorkerProgram(program);
  const supervisor = new Supervisor<ForkedWorker>({
    count: service.workers,
    fork: (index, { onReady, onEnded }) =>
      forkWorker({
        env: { SERVICE_PORT: String(port), [WORKER_VARIABLE]: workerVariable(index, sharing) },
        onMessage: (message) => {
          if (message.type === 'ready') onReady();
          else workerMetrics.take(message);
        },
        onLine: writeLine,
        onEnded,
      }),
    observer: {
      allReady: () => {
        log.info(
          { port, metricsPort: metricsServer?.port, workers: service.workers, sharing, pid: process.pid },
          `ready: all workers serve port ${port}`,
        );
        registrar?.start();
        // PM2 and others that wait for it.
        process.send?.('ready');
      },
      ended: (worker, workerEnd, restartDelayMs) => {
        log.error({ worker, restartDelayMs }, `a worker ${endWords(workerEnd)}; it is started again`);
      },
      startFailed: () => void fail(undefined, 'no worker could be started; the lines above say why'),
      stopped: (isClean) => {
        log.info('stopped');
        void Promise.resolve(metricsServer?.close()).then(() => endInOrder(isClean ? 0 : 1));
      },
    },
    now: Date.now,
    random: Math.random,
  });

  const metricsOfAll = async (): Promise<string> => {
    const parts = supervisor.workers().map(async ({ index, process }) => {
      const text = process && (await workerMetrics.scrape(process));
      if (process !== undefined && text === undefined) {
        log.warn({ worker: index }, 'a worker did not answer a scrape; its metrics are left out');
      }
      return { worker: index, text: text ?? '' };
    });
    return mergeMetrics([{ text: await metrics.text() }, ...(await Promise.all(parts))]);
  };

  let metricsServer: MetricsServer | undefined;
  if (config.metrics.isEnabled) {
    metricsServer = await openMetricsServer({
      metrics: { contentType: metrics.contentType, text: metricsOfAll },
      host: config.metrics.host,
      port: config.metrics.port,
      onError: (error) => log.error({ err: error }, 'metrics could not be served'),
    }).catch((error: Error) => fail(error, error.message));
  }

  onStopSignals(
    (signal) => {
      log.info({ signal }, 'stopping: every worker drains; a second signal ends them at once');
      setTimeout(() => {
        log.error('stopping took too long; the workers are killed');
        supervisor.kill();
        void end(1);
      }, service.drainMs + stopGraceMs).unref();
      registrar?.stop();
      supervisor.stop();
    },
    (status) => {
      supervisor.kill();
      return end(status);
    },
  );
  supervisor.start();
}

function endWords({ code, signal }: WorkerEnd): string {
  return signal === null ? `ended with status ${code}` : `was ended by ${signal}`;
}
