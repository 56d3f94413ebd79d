/** The metrics as text, and on a port of their own if the configuration asks for one. */
import type { Config } from '../config/config.ts';
import type { Directory, LocalDirectory } from '../core/directory.ts';
import type { Engine } from '../core/engine.ts';
import type { Log } from '../observe/log/log.ts';
import type { Metrics } from '../observe/metrics/metrics.ts';
import { type MetricsServer, openMetricsServer } from '../observe/metrics/metrics-server.ts';
import type { ProcessPlace } from '../workers/process-place.ts';

export interface MetricsEndpoint {
  /** All metrics in Prometheus' text format. */
  readonly text: () => Promise<string>;
  /** `undefined` while no port is open. */
  readonly port: number | undefined;
  /** Rejects with an error meant for the operator. */
  open(): Promise<void>;
  close(): Promise<void>;
}

export interface MetricsEndpointParts {
  readonly config: Config;
  readonly place: ProcessPlace;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly engine: Pick<Engine, 'health'>;
  readonly local: Pick<LocalDirectory, 'totals'>;
  readonly directory: Pick<Directory, 'liveNodes'>;
}

export function createMetricsEndpoint(parts: MetricsEndpointParts): MetricsEndpoint {
  const { config, place, log, metrics } = parts;
  const text = (): Promise<string> => {
    readGauges(parts);
    return metrics.text();
  };
  let server: MetricsServer | undefined;
  return {
    text,
    get port() {
      return server?.port;
    },
    open: async () => {
      if (!config.metrics.isEnabled) return;
      server = await openMetricsServer({
        metrics: { contentType: metrics.contentType, text },
        host: config.metrics.host,
        port: config.metrics.port,
        onError: (error) => log.error({ err: error }, 'metrics could not be served'),
        // PM2 starts an instance's successor before it stops the instance.
        ...(place.kind === 'instance' && {
          onWaiting: (error: Error) =>
            log.warn(`${error.message}. Retrying until it is free, which is soon if PM2 is reloading`),
        }),
      });
    },
    close: async () => {
      await server?.close();
      metrics.close();
    },
  };
}

/** Reads the gauges, which are kept where their figures are known, only for a scrape. */
function readGauges({ metrics, engine, local, directory }: MetricsEndpointParts): void {
  const { engine: counters, service, streams } = metrics;
  counters.details = engine.health().details;
  service.liveNodes = directory.liveNodes;
  const { connections, liveConnections } = local.totals();
  streams.live = liveConnections;
  streams.catchingUp = connections - liveConnections;
}
