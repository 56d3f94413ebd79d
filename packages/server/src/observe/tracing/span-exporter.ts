/**
 * The spans of this process on their way to the collector, in batches by OTLP over HTTP.
 *
 * Guarantees: nothing here waits, throws, or holds more than `MAX_WAITING_SPANS`. Spans that cannot be sent are dropped
 * and counted; a failing export is reported once a minute.
 */
import { randomUUID } from 'node:crypto';
import type { Attributes, Context, Link, Span, SpanKind } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import {
  BatchSpanProcessor,
  type SpanExporter as SdkExporter,
  TracerProvider,
  type TracerProviderOptions,
} from '@opentelemetry/sdk-trace';
import { atMost } from '../../core/at-most.ts';
import type { TraceCounters } from '../metrics/counters.ts';

export interface SpanExporterOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly serviceName: string;
  readonly serviceVersion: string;
  readonly environment: string;
  readonly counters: TraceCounters;
  /** Called at most once a minute. */
  readonly onExportFailed: (message: string, spans: number) => void;
}

/** Spans that have ended and that the collector has not accepted yet: about 20 MB. */
const MAX_WAITING_SPANS = 16_384;
const BATCH_SPANS = 512;
const BATCH_DELAY_MS = 1000;
const EXPORT_TIMEOUT_MS = 10_000;
const QUIET_MS = 60_000;

export class SpanExporter {
  readonly #options: SpanExporterOptions;
  readonly #provider: TracerProvider;
  readonly #tracer: ReturnType<TracerProvider['getTracer']>;
  #waiting = 0;
  #reportedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: SpanExporterOptions) {
    this.#options = options;
    const { url, headers, serviceName, serviceVersion, environment } = options;
    const attributes = {
      'service.name': serviceName,
      'service.version': serviceVersion,
      'service.instance.id': randomUUID(),
      'deployment.environment.name': environment,
      'process.pid': process.pid,
    };
    this.#provider = new TracerProvider({
      resource: resourceOf(attributes),
      spanProcessors: [
        new BatchSpanProcessor({
          exporter: this.#watched(
            new OTLPTraceExporter({ url, headers: { ...headers }, timeoutMillis: EXPORT_TIMEOUT_MS }),
          ),
          // The SDK's queue never fills up: `end` drops spans before it could.
          maxQueueSize: MAX_WAITING_SPANS + BATCH_SPANS,
          maxExportBatchSize: BATCH_SPANS,
          scheduledDelayMillis: BATCH_DELAY_MS,
        }),
      ],
    });
    this.#tracer = this.#provider.getTracer('message-push-service', serviceVersion);
  }

  start(
    name: string,
    options: {
      readonly kind: SpanKind;
      readonly startTime: number;
      readonly attributes: Attributes;
      readonly links?: Link[];
    },
    context: Context,
  ): Span {
    return this.#tracer.startSpan(name, options, context);
  }

  /** Ends the span and queues it for export. */
  end(span: Span, endTimeMs: number): void {
    if (this.#waiting >= MAX_WAITING_SPANS) {
      this.#options.counters.spans.dropped++;
      return;
    }
    this.#waiting++;
    span.end(endTimeMs);
  }

  /** Sends the queued spans, within `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    const flushed = this.#provider.shutdown().catch((error: unknown) => this.#failed(error, 0));
    await atMost(flushed, timeoutMs);
  }

  #watched(exporter: SdkExporter): SdkExporter {
    return {
      export: (spans, onResult) =>
        exporter.export(spans, ({ code, error }) => {
          this.#waiting -= spans.length;
          if (code === 0) this.#options.counters.spans.exported += spans.length;
          else this.#failed(error, spans.length);
          // The failure is already reported. The SDK would report it again, to a handler that nobody has set.
          onResult({ code: 0 });
        }),
      forceFlush: async () => exporter.forceFlush?.(),
      shutdown: () => exporter.shutdown(),
    };
  }

  #failed(error: unknown, spans: number): void {
    this.#options.counters.spans.failed += spans;
    const nowMs = performance.now();
    if (nowMs - this.#reportedAtMs < QUIET_MS) return;
    this.#reportedAtMs = nowMs;
    this.#options.onExportFailed(error instanceof Error ? error.message : String(error), spans);
  }
}

/** A resource without its package, which is not a dependency: the SDK reads only the attributes. */
function resourceOf(attributes: Attributes): NonNullable<TracerProviderOptions['resource']> {
  const resource: NonNullable<TracerProviderOptions['resource']> = {
    attributes,
    merge: () => resource,
    getRawAttributes: () => [],
  };
  return resource;
}
