/**
 * Tracing by OpenTelemetry: spans `publish`, `store` and `deliver`, sent by OTLP over HTTP. This file, and the SDK with
 * it, is loaded only when tracing is on.
 *
 * Guarantees: nothing here waits or throws; `span-exporter.ts` bounds what is held. No content, name of a channel,
 * user or credential is in a span.
 */
import type { Message, PublishKind } from '../../core/message.ts';
import { OtlpDeliveryTrace } from './delivery-trace.ts';
import { OtlpPublishTrace, type PublishTracing } from './publish-trace.ts';
import { SpanExporter, type SpanExporterOptions } from './span-exporter.ts';
import { carriedTraceparent, type TraceFields } from './trace-context.ts';
import type { DeliveryTrace, PublishTrace, Tracer } from './tracer.ts';

export interface OtlpTracerOptions extends SpanExporterOptions {
  readonly engineKind: string;
  /** Share of the publishes without a trace that begin one, 0 to 1. */
  readonly sampleRatio: number;
  readonly random: () => number;
}

export class OtlpTracer implements Tracer {
  readonly #spans: SpanExporter;
  readonly #publishing: PublishTracing;

  constructor({ engineKind, sampleRatio, random, ...options }: OtlpTracerOptions) {
    this.#spans = new SpanExporter(options);
    this.#publishing = { spans: this.#spans, engineKind, samples: () => random() < sampleRatio };
  }

  startPublish(kind: PublishKind, caller: TraceFields | undefined): PublishTrace {
    return new OtlpPublishTrace(this.#publishing, kind, caller);
  }

  startDelivery(message: Message): DeliveryTrace | undefined {
    const parent = carriedTraceparent(message.json);
    return parent?.isSampled ? new OtlpDeliveryTrace(this.#spans, message, parent) : undefined;
  }

  /** Sends the queued spans, within `timeoutMs`. */
  close(timeoutMs: number): Promise<void> {
    return this.#spans.close(timeoutMs);
  }
}
