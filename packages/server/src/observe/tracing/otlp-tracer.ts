/**
 * Tracing by OpenTelemetry: spans `publish`, `store` and `deliver`, sent by OTLP over HTTP. Loaded only when tracing
 * is on, and with it the SDK.
 *
 * Guarantees: nothing here waits, throws or holds more than `MAX_WAITING_SPANS`; what cannot be sent is dropped,
 * counted, and said once a minute. No content, name of a channel, user or credential is in a span.
 */
import { randomUUID } from 'node:crypto';
import type { Attributes, Link, Span, TraceState } from '@opentelemetry/api';
import {
  type Context,
  createTraceState,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import {
  BatchSpanProcessor,
  type SpanExporter,
  TracerProvider,
  type TracerProviderOptions,
} from '@opentelemetry/sdk-trace';
import { atMost } from '../../core/at-most.ts';
import { RequestError } from '../../core/errors.ts';
import type { Draft, Message } from '../../core/message.ts';
import type { TraceCounters } from '../metrics/counters.ts';
import type { TraceFields, TraceParent } from './trace-context.ts';
import { carriedTraceparent, formatTraceparent, parseTraceparent } from './trace-context.ts';
import type { DeliveryTrace, PublishTrace, StoreTrace, Tracer } from './tracer.ts';

export interface OtlpTracerOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly serviceName: string;
  readonly serviceVersion: string;
  readonly environment: string;
  readonly engineKind: string;
  readonly sampleRatio: number;
  readonly counters: TraceCounters;
  readonly random: () => number;
  /** At most once a minute. */
  readonly onExportFailed: (message: string, spans: number) => void;
}

/** Ended and not yet taken by the collector, some 20 MB. */
const MAX_WAITING_SPANS = 16_384;
const BATCH_SPANS = 512;
const BATCH_DELAY_MS = 1000;
const EXPORT_TIMEOUT_MS = 10_000;
const QUIET_MS = 60_000;

export class OtlpTracer implements Tracer {
  readonly #options: OtlpTracerOptions;
  readonly #provider: TracerProvider;
  readonly #tracer: ReturnType<TracerProvider['getTracer']>;
  #waiting = 0;
  #saidAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: OtlpTracerOptions) {
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
          // Never full: this class drops before it is.
          maxQueueSize: MAX_WAITING_SPANS + BATCH_SPANS,
          maxExportBatchSize: BATCH_SPANS,
          scheduledDelayMillis: BATCH_DELAY_MS,
        }),
      ],
    });
    this.#tracer = this.#provider.getTracer('message-push-service', serviceVersion);
  }

  startPublish(kind: string, caller: TraceFields | undefined): PublishTrace {
    return new OtlpPublishTrace(this, kind, caller);
  }

  startDelivery(message: Message): DeliveryTrace | undefined {
    const parent = carriedTraceparent(message.json);
    return parent?.isSampled ? new OtlpDeliveryTrace(this, message, parent) : undefined;
  }

  /** Sends what waits, for at most so long. */
  async close(timeoutMs: number): Promise<void> {
    const flushed = this.#provider.shutdown().catch((error: unknown) => this.#failed(error, 0));
    await atMost(flushed, timeoutMs);
  }

  get engineKind(): string {
    return this.#options.engineKind;
  }

  /** Of a publish that comes without a trace. */
  samples(): boolean {
    return this.#options.random() < this.#options.sampleRatio;
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

  end(span: Span, endTimeMs: number): void {
    if (this.#waiting >= MAX_WAITING_SPANS) {
      this.#options.counters.spans.dropped++;
      return;
    }
    this.#waiting++;
    span.end(endTimeMs);
  }

  #watched(exporter: SpanExporter): SpanExporter {
    return {
      export: (spans, onResult) =>
        exporter.export(spans, ({ code, error }) => {
          this.#waiting -= spans.length;
          if (code === 0) this.#options.counters.spans.exported += spans.length;
          else this.#failed(error, spans.length);
          // A failure is told here; the SDK would tell it again, to nobody.
          onResult({ code: 0 });
        }),
      forceFlush: async () => exporter.forceFlush?.(),
      shutdown: () => exporter.shutdown(),
    };
  }

  #failed(error: unknown, spans: number): void {
    this.#options.counters.spans.failed += spans;
    const nowMs = performance.now();
    if (nowMs - this.#saidAtMs < QUIET_MS) return;
    this.#saidAtMs = nowMs;
    this.#options.onExportFailed(error instanceof Error ? error.message : String(error), spans);
  }
}

/** The package that makes them is not one of ours. Attributes are all that is read of one. */
function resourceOf(attributes: Attributes): NonNullable<TracerProviderOptions['resource']> {
  const resource: NonNullable<TracerProviderOptions['resource']> = {
    attributes,
    merge: () => resource,
    getRawAttributes: () => [],
  };
  return resource;
}

/** Starts at a whole millisecond, as messages' times do, so that nothing seems to be delivered before it came. */
class Clock {
  readonly startMs = Date.now();
  readonly #since = performance.now();

  now(): number {
    return this.startMs + (performance.now() - this.#since);
  }
}

class OtlpPublishTrace implements PublishTrace {
  readonly #tracer: OtlpTracer;
  readonly #kind: string;
  readonly #caller: TraceFields | undefined;
  readonly #clock = new Clock();
  #isDecided = false;
  #span: Span | undefined;
  #context: Context = ROOT_CONTEXT;
  #carried: TraceFields | undefined;

  constructor(tracer: OtlpTracer, kind: string, caller: TraceFields | undefined) {
    this.#tracer = tracer;
    this.#kind = kind;
    this.#caller = caller;
    // The messages of a batch have traces of their own, if any; the request has its caller's.
    if (kind === 'batch') this.#decide(caller);
  }

  carry(
    own: { readonly traceparent?: unknown; readonly tracestate?: unknown } | undefined,
  ): TraceFields | undefined {
    const isOwn = parseTraceparent(own?.traceparent) !== undefined;
    const given = isOwn ? (own as TraceFields) : undefined;
    if (!this.#isDecided) this.#decide(given ?? this.#caller);
    else if (given !== undefined) return fieldsOf(given.traceparent, stateOf(given.tracestate));
    return this.#carried;
  }

  startStore(draft: Draft): StoreTrace | undefined {
    if (this.#span === undefined) return undefined;
    const { message, ack } = draft;
    const startMs = this.#clock.now();
    const own = carriedTraceparent(message.json);
    const isOther = own !== undefined && own.spanId !== this.#span.spanContext().spanId;
    const span = this.#tracer.start(
      'store',
      {
        kind: SpanKind.INTERNAL,
        startTime: startMs,
        attributes: {
          'messaging.message.id': message.id,
          'message_push.message.type': message.type,
          'message_push.channels': message.channels.length,
          'message_push.engine': this.#tracer.engineKind,
          'message_push.ack': ack,
        },
        ...(isOther && { links: [{ context: contextOf(own) }] }),
      },
      this.#context,
    );
    if (this.#kind !== 'batch') {
      this.#span.setAttributes({
        'messaging.message.id': message.id,
        'message_push.message.type': message.type,
        'message_push.channels': message.channels.length,
      });
    }
    return {
      stored: ({ isRepeat, ack: reached }) => {
        span.setAttribute('message_push.outcome', isRepeat ? 'repeat' : 'stored');
        span.setAttribute('message_push.ack', reached);
        this.#tracer.end(span, this.#clock.now());
      },
      failed: (error) => {
        const isConflict = error instanceof RequestError && error.code === 'id_conflict';
        span.setAttribute('message_push.outcome', isConflict ? 'conflict' : 'error');
        noteError(span, error);
        this.#tracer.end(span, this.#clock.now());
      },
    };
  }

  end(messages: number, error?: unknown): void {
    if (!this.#isDecided) this.#decide(this.#caller);
    const span = this.#span;
    if (span === undefined) return;
    span.setAttribute('messaging.batch.message_count', messages);
    span.setAttribute('http.response.status_code', error === undefined ? 200 : statusOf(error));
    if (error !== undefined) noteError(span, error);
    this.#tracer.end(span, this.#clock.now());
  }

  #decide(parentFields: TraceFields | undefined): void {
    this.#isDecided = true;
    const parent = parseTraceparent(parentFields?.traceparent);
    const state = parent === undefined ? undefined : stateOf(parentFields?.tracestate);
    if (parentFields !== undefined && parent?.isSampled === false) {
      this.#carried = fieldsOf(parentFields.traceparent, state);
      return;
    }
    if (parent === undefined && !this.#tracer.samples()) return;
    const path = `/sse/api/v1/messages/${this.#kind}`;
    const span = this.#tracer.start(
      'publish',
      {
        kind: SpanKind.SERVER,
        startTime: this.#clock.startMs,
        attributes: { 'http.request.method': 'POST', 'http.route': path, 'url.path': path },
      },
      parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, contextOf(parent, state)),
    );
    const { traceId, spanId } = span.spanContext();
    this.#span = span;
    this.#context = trace.setSpan(ROOT_CONTEXT, span);
    this.#carried = fieldsOf(formatTraceparent({ traceId, spanId, isSampled: true }), state);
  }
}

class OtlpDeliveryTrace implements DeliveryTrace {
  readonly #tracer: OtlpTracer;
  readonly #message: Message;
  readonly #parent: TraceParent;
  #connections = 0;
  #writtenAtMs = 0;
  #isHandedOut = false;

  constructor(tracer: OtlpTracer, message: Message, parent: TraceParent) {
    this.#tracer = tracer;
    this.#message = message;
    this.#parent = parent;
  }

  handedTo(): void {
    this.#connections++;
  }

  written(): void {
    if (this.#writtenAtMs !== 0) return;
    this.#writtenAtMs = performance.timeOrigin + performance.now();
    if (this.#isHandedOut) this.#report();
  }

  handedOut(): void {
    this.#isHandedOut = true;
    if (this.#writtenAtMs !== 0) this.#report();
  }

  #report(): void {
    const { id, type, timeMs } = this.#message;
    const span = this.#tracer.start(
      'deliver',
      {
        kind: SpanKind.INTERNAL,
        startTime: timeMs,
        attributes: {
          'messaging.message.id': id,
          'message_push.message.type': type,
          'message_push.connections': this.#connections,
        },
      },
      trace.setSpanContext(ROOT_CONTEXT, contextOf(this.#parent)),
    );
    // Another node's clock may be ahead.
    this.#tracer.end(span, Math.max(timeMs, this.#writtenAtMs));
  }
}

function contextOf(
  { traceId, spanId, isSampled }: TraceParent,
  traceState?: TraceState,
): { traceId: string; spanId: string; traceFlags: number; isRemote: true; traceState?: TraceState } {
  const flags = { traceFlags: isSampled ? 1 : 0, isRemote: true } as const;
  return { traceId, spanId, ...flags, ...(traceState !== undefined && { traceState }) };
}

/** What of it is well-formed. */
function stateOf(text: unknown): TraceState | undefined {
  if (typeof text !== 'string') return undefined;
  const state = createTraceState(text);
  return state.serialize() === '' ? undefined : state;
}

function fieldsOf(traceparent: string, state: TraceState | undefined): TraceFields {
  return state === undefined ? { traceparent } : { traceparent, tracestate: state.serialize() };
}

function statusOf(error: unknown): number {
  return error instanceof RequestError ? error.status : 500;
}

/** By its code alone: the message may quote what was published. */
function noteError(span: Span, error: unknown): void {
  const code = error instanceof RequestError ? error.code : 'internal_error';
  span.setAttribute('error.type', code);
  // [spec] HTTP semantic conventions: a caller's mistake is no error of the server.
  if (statusOf(error) >= 500) span.setStatus({ code: SpanStatusCode.ERROR, message: code });
}
