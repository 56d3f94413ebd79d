/** The tracer that the configuration asks for. While tracing is off nothing of OpenTelemetry is loaded. */
import type { Config } from '../config/config.ts';
import type { Log } from '../observe/log/log.ts';
import type { TraceCounters } from '../observe/metrics/counters.ts';
import type { OtlpTracer } from '../observe/tracing/otlp-tracer.ts';

export interface TracerParts {
  readonly config: Config;
  readonly engineKind: string;
  readonly log: Log;
  readonly counters: TraceCounters;
}

export async function createTracer({
  config: { tracing, service },
  engineKind,
  log,
  counters,
}: TracerParts): Promise<OtlpTracer | undefined> {
  if (tracing === undefined) return undefined;
  const { OtlpTracer: Tracer } = await import('../observe/tracing/otlp-tracer.ts');
  // Of the URL only what is no credential.
  const { origin } = new URL(tracing.url);
  return new Tracer({
    ...tracing,
    serviceVersion: service.version,
    environment: service.environment,
    engineKind,
    counters,
    random: Math.random,
    onExportFailed: (reason, spans) =>
      log.warn(
        { collector: origin, spans },
        `traces could not be sent: ${reason}; this is said once a minute`,
      ),
  });
}
