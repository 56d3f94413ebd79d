/** Adapts the configuration to the place of a process: processes must not share a metrics port or a log file. */
import path from 'node:path';
import type { Config } from '../config/config.ts';
import type { ProcessPlace } from './process-place.ts';

const MAX_PORT = 65_535;

/** Throws an Error for the operator when there is no metrics port for the process. */
export function placeConfig(config: Config, place: ProcessPlace): Config {
  switch (place.kind) {
    case 'alone':
      return config;
    case 'worker':
      // The primary process serves the metrics, colours the lines and writes the file.
      return {
        ...config,
        metrics: { ...config.metrics, isEnabled: false },
        log: { ...config.log, format: 'json', file: undefined },
      };
    case 'instance':
      return {
        ...config,
        metrics: { ...config.metrics, port: instancePort(config, place.index) },
        log: { ...config.log, file: config.log.file && instanceFile(config.log.file, place.index) },
      };
  }
}

/** The log file of an instance: `logs/service.log` becomes `logs/service.2.log` for instance 2. */
function instanceFile(file: string, index: number): string {
  const { dir, name, ext } = path.parse(file);
  return path.join(dir, `${name}.${index}${ext}`);
}

function instancePort({ metrics, service }: Config, index: number): number {
  if (metrics.port === 0) return 0;
  const port = metrics.port + index;
  const problem =
    port > MAX_PORT
      ? `is above ${MAX_PORT}`
      : port === service.port
        ? `is SERVICE_PORT=${service.port}`
        : undefined;
  if (!metrics.isEnabled || problem === undefined) return port;
  throw new Error(
    `METRICS_PORT=${metrics.port}: instance ${index} would serve its metrics on port ${port}, which ${problem}; choose another METRICS_PORT`,
  );
}
