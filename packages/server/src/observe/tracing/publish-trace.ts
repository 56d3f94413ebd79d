/** The spans of one publish request: `publish`, and `store` for each message that is stored. */
import type { Context, Span } from '@opentelemetry/api';
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { PUBLISH_PATHS } from '../../core/endpoints.ts';
import { RequestError } from '../../core/errors.ts';
import type { Draft, PublishKind } from '../../core/message.ts';
import { contextOf, fieldsOf, stateOf } from './span-context.ts';
import type { SpanExporter } from './span-exporter.ts';
import type { TraceFields } from './trace-context.ts';
import { carriedTraceparent, formatTraceparent, parseTraceparent } from './trace-context.ts';
import type { PublishTrace, StoreTrace } from './tracer.ts';

export interface PublishTracing {
  readonly spans: Pick<SpanExporter, 'start' | 'end'>;
  readonly engineKind: string;
  /** Decides whether a publish that comes without a trace begins one. */
  readonly samples: () => boolean;
}

/** Starts at a whole millisecond, like the times of messages, so that no delivery seems to precede its publish. */
class Clock {
  readonly startMs = Date.now();
  readonly #since = performance.now();

  now(): number {
    return this.startMs + (performance.now() - this.#since);
  }
}

export class OtlpPublishTrace implements PublishTrace {
  readonly #tracing: PublishTracing;
  readonly #kind: PublishKind;
  readonly #caller: TraceFields | undefined;
  readonly #clock = new Clock();
  #isDecided = false;
  #span: Span | undefined;
  #context: Context = ROOT_CONTEXT;
  #carried: TraceFields | undefined;

  constructor(tracing: PublishTracing, kind: PublishKind, caller: TraceFields | undefined) {
    this.#tracing = tracing;
    this.#kind = kind;
    this.#caller = caller;
    // The messages of a batch may carry traces of their own. The request belongs to its caller's trace.
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
    const span = this.#tracing.spans.start(
      'store',
      {
        kind: SpanKind.INTERNAL,
        startTime: startMs,
        attributes: {
          'messaging.message.id': message.id,
          'message_push.message.type': message.type,
          'message_push.channels': message.channels.length,
          'message_push.engine': this.#tracing.engineKind,
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
        this.#tracing.spans.end(span, this.#clock.now());
      },
      failed: (error) => {
        const isConflict = error instanceof RequestError && error.code === 'id_conflict';
        span.setAttribute('message_push.outcome', isConflict ? 'conflict' : 'error');
        noteError(span, error);
        this.#tracing.spans.end(span, this.#clock.now());
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
    this.#tracing.spans.end(span, this.#clock.now());
  }

  #decide(parentFields: TraceFields | undefined): void {
    this.#isDecided = true;
    const parent = parseTraceparent(parentFields?.traceparent);
    const state = parent === undefined ? undefined : stateOf(parentFields?.tracestate);
    if (parentFields !== undefined && parent?.isSampled === false) {
      this.#carried = fieldsOf(parentFields.traceparent, state);
      return;
    }
    if (parent === undefined && !this.#tracing.samples()) return;
    const path = PUBLISH_PATHS[this.#kind];
    const span = this.#tracing.spans.start(
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

function statusOf(error: unknown): number {
  return error instanceof RequestError ? error.status : 500;
}

/** Records the code alone: the error's message may quote published content. */
function noteError(span: Span, error: unknown): void {
  const code = error instanceof RequestError ? error.code : 'internal_error';
  span.setAttribute('error.type', code);
  // [spec] HTTP semantic conventions: a mistake of the caller is not an error of a server span.
  if (statusOf(error) >= 500) span.setStatus({ code: SpanStatusCode.ERROR, message: code });
}
