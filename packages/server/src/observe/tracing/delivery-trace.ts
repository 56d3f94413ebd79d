/** The span `deliver`: from the publish of a message to its first write to a socket of this node. */
import { ROOT_CONTEXT, SpanKind, trace } from '@opentelemetry/api';
import type { Message } from '../../core/message.ts';
import { contextOf } from './span-context.ts';
import type { SpanExporter } from './span-exporter.ts';
import type { TraceParent } from './trace-context.ts';
import type { DeliveryTrace } from './tracer.ts';

export class OtlpDeliveryTrace implements DeliveryTrace {
  readonly #spans: Pick<SpanExporter, 'start' | 'end'>;
  readonly #message: Message;
  readonly #parent: TraceParent;
  #connections = 0;
  #writtenAtMs = 0;
  #isHandedOut = false;

  constructor(spans: Pick<SpanExporter, 'start' | 'end'>, message: Message, parent: TraceParent) {
    this.#spans = spans;
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
    const span = this.#spans.start(
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
    // `timeMs` may lie ahead of this clock: another node set it.
    this.#spans.end(span, Math.max(timeMs, this.#writtenAtMs));
  }
}
