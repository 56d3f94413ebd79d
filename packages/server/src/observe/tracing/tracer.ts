/**
 * The tracing port: the stages that a message passes report to it. No stage holds a tracer while tracing is off, so
 * that a message costs one check. `otlp-tracer.ts` implements the port.
 */
import type { AckLevel, Draft, Message, PublishKind, Receipt } from '../../core/message.ts';
import type { TraceFields } from './trace-context.ts';

export interface Tracer {
  /** Begins the trace of a publish request. `caller` holds the trace fields of its headers. */
  startPublish(kind: PublishKind, caller: TraceFields | undefined): PublishTrace;
  /** Begins the delivery of a publication to the streams of this node; `undefined` unless its trace is recorded. */
  startDelivery(message: Message): DeliveryTrace | undefined;
}

export interface PublishTrace {
  /**
   * Returns the trace fields that the message will carry. `own` is the metadata that its publisher wrote. Called before
   * `startStore`.
   */
  carry(
    own: { readonly traceparent?: unknown; readonly tracestate?: unknown } | undefined,
  ): TraceFields | undefined;
  startStore(draft: Draft): StoreTrace | undefined;
  /** `messages` is the number of messages in the request, `error` the reason for a refusal. */
  end(messages: number, error?: unknown): void;
}

export interface StoreTrace {
  stored(receipt: Pick<Receipt, 'isRepeat'> & { readonly ack: AckLevel }): void;
  failed(error: unknown): void;
}

/** The delivery of one publication to all live streams of this node. */
export interface DeliveryTrace {
  handedTo(): void;
  /** The message has been written to the socket of a stream. */
  written(): void;
  /** The publication has been handed to every stream. */
  handedOut(): void;
}
