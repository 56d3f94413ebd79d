/** Conversions between W3C trace fields and the contexts of OpenTelemetry. */
import type { TraceState } from '@opentelemetry/api';
import { createTraceState } from '@opentelemetry/api';
import type { TraceFields, TraceParent } from './trace-context.ts';

export function contextOf(
  { traceId, spanId, isSampled }: TraceParent,
  traceState?: TraceState,
): { traceId: string; spanId: string; traceFlags: number; isRemote: true; traceState?: TraceState } {
  const flags = { traceFlags: isSampled ? 1 : 0, isRemote: true } as const;
  return { traceId, spanId, ...flags, ...(traceState !== undefined && { traceState }) };
}

/** The well-formed entries of a `tracestate`; `undefined` when there are none. */
export function stateOf(text: unknown): TraceState | undefined {
  if (typeof text !== 'string') return undefined;
  const state = createTraceState(text);
  return state.serialize() === '' ? undefined : state;
}

export function fieldsOf(traceparent: string, state: TraceState | undefined): TraceFields {
  return state === undefined ? { traceparent } : { traceparent, tracestate: state.serialize() };
}
