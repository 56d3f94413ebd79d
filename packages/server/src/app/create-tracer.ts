/** Creates the tracer if the configuration asks for one. Otherwise OpenTelemetry is not even loaded. */
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
  // Only the part of the URL that holds no credentials goes to the log.
  const { origin } = new URL(tracing.url);
  return new Tracer({
    ...tracing,
    serviceVersion: service.version,
    environment: service.environment,
    engineKind,
    counters,
    random: Math.random,
    onExportFailed: (reason, spans) =>
      log.warn({ collector: origin, spans }, `traces could not be sent: ${reason}; reported once a minute`),
  });
}
