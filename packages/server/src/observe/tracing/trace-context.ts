/**
 * W3C Trace Context as text: reads and writes `traceparent`, and finds it in the JSON of a message. Pure functions.
 *
 * The JSON of a traced message ends in `"traceparent":"…"}}`, because the publish stage writes metadata last and
 * `traceparent` last within it. So every node finds it at a fixed place without parsing the JSON, and nothing that a
 * publisher writes in `data` can be mistaken for it.
 */

/** The trace fields of a request's headers or of a message's metadata, unparsed. */
export interface TraceFields {
  readonly traceparent: string;
  readonly tracestate?: string | undefined;
}

export interface TraceParent {
  readonly traceId: string;
  readonly spanId: string;
  readonly isSampled: boolean;
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const MAX_TRACEPARENT_CHARS = 512;

/** [spec] Trace Context, 3.2: a malformed `traceparent` counts as absent; the result is `undefined`. */
export function parseTraceparent(text: unknown): TraceParent | undefined {
  if (typeof text !== 'string' || text.length > MAX_TRACEPARENT_CHARS) return undefined;
  const [, version, traceId = '', spanId = '', flags = '', more] = TRACEPARENT.exec(text) ?? [];
  // Later versions may append further fields; version 00 may not.
  if (version === undefined || version === 'ff' || (version === '00' && more !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function formatTraceparent({ traceId, spanId, isSampled }: TraceParent): string {
  return `00-${traceId}-${spanId}-${isSampled ? '01' : '00'}`;
}

const BEFORE = '"traceparent":"';
const AFTER = '"}}';
const TAIL_CHARS = BEFORE.length + 55 + AFTER.length;

/** Returns the `traceparent` that a message carries, if any. */
export function carriedTraceparent(json: Uint8Array): TraceParent | undefined {
  if (json.length < TAIL_CHARS) return undefined;
  const start = json.byteOffset + json.length - TAIL_CHARS;
  const tail = Buffer.from(json.buffer, start, TAIL_CHARS).toString('latin1');
  if (!tail.startsWith(BEFORE) || !tail.endsWith(AFTER)) return undefined;
  return parseTraceparent(tail.slice(BEFORE.length, -AFTER.length));
}
