/**
 * The primary process for `WORKER_THREADS` > 1. It forks the workers, writes their log, answers scrapes for all of
 * them, forwards signals and registers the service at a gateway. It serves no streams and knows no engine; each
 * worker is a node of its own.
 */
import type { Config } from '../config/config.ts';
import type { GatewayRegistrar } from '../gateway/gateway-registrar.ts';
import type { Log } from '../observe/log/log.ts';
import { type MetricsPart, mergeMetrics } from '../observe/metrics/merge-metrics.ts';
import {
  type MetricsServer,
  type MetricsServerOptions,
  openMetricsServer,
} from '../observe/metrics/metrics-server.ts';
import { createPrimaryMetrics, type WorkerState } from '../observe/metrics/primary-metrics.ts';
import { type ForkedWorker, forkWorker, setWorkerProgram } from './fork-worker.ts';
import { tryPort } from './listen.ts';
import { WORKER_VARIABLE, workerVariable } from './process-place.ts';
import { onStopSignals, openServiceProcess, type ServiceProcess } from './service-process.ts';
import { Supervisor, type WorkerEnd } from './supervisor.ts';
import { WorkerMetrics } from './worker-metrics.ts';

export interface PrimaryProcessOptions {
  readonly config: Pick<Config, 'service' | 'metrics' | 'log'>;
  /** Warnings about the configuration, for the log. */
  readonly warnings: readonly string[];
  /** The file that a worker runs. */
  readonly program: string;
  /** Time after the drain window at which a worker that has not exited is killed. */
  readonly stopGraceMs: number;
  /** Creates the registrar for the service on `port`; returns `undefined` when there is no gateway. */
  readonly registrarOf: (port: number, log: Log) => Pick<GatewayRegistrar, 'start' | 'stop'> | undefined;
}

/** Less than the 10 s that Prometheus waits. */
const SCRAPE_TIMEOUT_MS = 3000;

/** Resolves when the workers have been forked. */
export async function runPrimaryProcess(options: PrimaryProcessOptions): Promise<void> {
  const { config, warnings, program, registrarOf } = options;
  const { service } = config;
  const metrics = createPrimaryMetrics(() => workerStates(supervisor));
  const serviceProcess = openServiceProcess({ config, place: { kind: 'alone' }, counters: metrics.log });
  const { log, writeLine, fail, endInOrder } = serviceProcess;
  for (const warning of warnings) log.warn(warning);

  const address = { host: service.host, port: service.port, backlog: service.listenBacklog };
  const { port, sharing } = await tryPort(address).catch((error: Error) => fail(error, error.message));
  const registrar = registrarOf(port, log);
  const workerMetrics = new WorkerMetrics(SCRAPE_TIMEOUT_MS);
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
        // PM2 and other supervisors wait for this message.
        process.send?.('ready');
      },
      ended: (worker, workerEnd, restartDelayMs) => {
        log.error({ worker, restartDelayMs }, `a worker ${endWords(workerEnd)}; it is restarted`);
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
  const metricsServer = await openMetrics(config.metrics, log, {
    contentType: metrics.contentType,
    text: async () =>
      mergeMetrics([{ text: await metrics.text() }, ...(await scrapeAll(supervisor, workerMetrics, log))]),
  }).catch((error: Error) => fail(error, error.message));
  stopOnSignals({ serviceProcess, supervisor, registrar, timeoutMs: service.drainMs + options.stopGraceMs });
  supervisor.start();
}

function workerStates(supervisor: Supervisor<ForkedWorker>): WorkerState[] {
  return supervisor.workers().map(({ index, restarts, process }) => ({
    index,
    restarts,
    isReady: process !== undefined,
  }));
}

function scrapeAll(
  supervisor: Supervisor<ForkedWorker>,
  workerMetrics: WorkerMetrics,
  log: Log,
): Promise<MetricsPart[]> {
  const parts = supervisor.workers().map(async ({ index, process }) => {
    const text = process && (await workerMetrics.scrape(process));
    if (process !== undefined && text === undefined) {
      log.warn({ worker: index }, 'a worker did not answer a scrape; its metrics are left out');
    }
    return { worker: index, text: text ?? '' };
  });
  return Promise.all(parts);
}

async function openMetrics(
  { isEnabled, host, port }: Config['metrics'],
  log: Log,
  metrics: MetricsServerOptions['metrics'],
): Promise<MetricsServer | undefined> {
  if (!isEnabled) return undefined;
  const onError = (error: unknown): void => log.error({ err: error }, 'metrics could not be served');
  return openMetricsServer({ metrics, host, port, onError });
}

interface Stopping {
  readonly serviceProcess: Pick<ServiceProcess, 'log' | 'end'>;
  readonly supervisor: Supervisor<ForkedWorker>;
  readonly registrar: Pick<GatewayRegistrar, 'stop'> | undefined;
  /** Time after which workers that have not exited are killed. */
  readonly timeoutMs: number;
}

function stopOnSignals({ serviceProcess: { log, end }, supervisor, registrar, timeoutMs }: Stopping): void {
  onStopSignals(
    (signal) => {
      log.info({ signal }, 'stopping: every worker drains; a second signal ends them at once');
      setTimeout(() => {
        log.error('stopping took too long; the workers are killed');
        supervisor.kill();
        void end(1);
      }, timeoutMs).unref();
      registrar?.stop();
      supervisor.stop();
    },
    (status) => {
      supervisor.kill();
      return end(status);
    },
  );
}

function endWords({ code, signal }: WorkerEnd): string {
  return signal === null ? `ended with status ${code}` : `was ended by ${signal}`;
}
