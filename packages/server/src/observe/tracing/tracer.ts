/**
 * The tracing port: what the stages on a message's way tell of it. Nobody holds one while tracing is off, so that
 * a message pays one check. `otlp-tracer.ts` is what stands behind it.
 */
import type { AckLevel, Draft, Message, Receipt } from '../../core/message.ts';
import type { TraceFields } from './trace-context.ts';

export interface Tracer {
  /** A publish has come in; `caller`: what its head says. */
  startPublish(kind: string, caller: TraceFields | undefined): PublishTrace;
  /** A publication reaches this node's streams; undefined unless its trace is recorded. */
  startDelivery(message: Message): DeliveryTrace | undefined;
}

export interface PublishTrace {
  /** What the message carries on; `own`: what its publisher wrote in its metadata. Called before `startStore`. */
  carry(
    own: { readonly traceparent?: unknown; readonly tracestate?: unknown } | undefined,
  ): TraceFields | undefined;
  startStore(draft: Draft): StoreTrace | undefined;
  /** `messages`: how many the request held. `error`: why it was refused. */
  end(messages: number, error?: unknown): void;
}

export interface StoreTrace {
  stored(receipt: Pick<Receipt, 'isRepeat'> & { readonly ack: AckLevel }): void;
  failed(error: unknown): void;
}

/** One for all streams of this node that are live and get the publication. */
export interface DeliveryTrace {
  handedTo(): void;
  /** A stream's bytes, this message among them, are with its socket. */
  written(): void;
  /** It has been handed to all. */
  handedOut(): void;
}
