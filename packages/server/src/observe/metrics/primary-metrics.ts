/** The metrics of the primary process, labelled as worker 0: its workers, its log and Node.js' own metrics. */
import { Registry } from 'prom-client';
import { LogCounters } from './counters.ts';
import { collectProcessMetrics, METRICS_PREFIX } from './process-metrics.ts';
import { registerScraped } from './scraped-metric.ts';

export interface WorkerState {
  /** From 1. */
  readonly index: number;
  readonly isReady: boolean;
  readonly restarts: number;
}

export interface PrimaryMetrics {
  readonly log: LogCounters;
  readonly contentType: string;
  /** The metrics in Prometheus' text format. */
  text(): Promise<string>;
}

export function createPrimaryMetrics(workers: () => readonly WorkerState[]): PrimaryMetrics {
  const log = new LogCounters();
  const registry = new Registry();
  collectProcessMetrics(registry, { worker: '0' });
  registerScraped(registry, {
    name: `${METRICS_PREFIX}worker_up`,
    help: '1 while the worker serves, otherwise 0.',
    type: 'gauge',
    read: () =>
      workers().map(({ index, isReady }) => ({ value: isReady ? 1 : 0, labels: { worker: index } })),
  });
  registerScraped(registry, {
    name: `${METRICS_PREFIX}worker_restarts_total`,
    help: 'Restarts of the worker.',
    type: 'counter',
    read: () => workers().map(({ index, restarts }) => ({ value: restarts, labels: { worker: index } })),
  });
  registerScraped(registry, {
    name: `${METRICS_PREFIX}log_lines_lost_total`,
    help: 'Log lines that could not be written.',
    type: 'counter',
    read: () => [{ value: log.lostLines, labels: { worker: 0 } }],
  });
  return { log, contentType: registry.contentType, text: () => registry.metrics() };
}
