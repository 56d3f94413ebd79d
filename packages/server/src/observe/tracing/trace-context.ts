/**
 * W3C Trace Context as text: reading and writing `traceparent`, and where it stands in a message's JSON. Pure.
 *
 * A message that is traced ends in `"traceparent":"…"}}`, because the publish stage writes metadata last and
 * `traceparent` last in it. So every node finds it at a fixed place, without reading the JSON, and nothing that a
 * publisher writes in `data` can be taken for it.
 */

/** Fields of a request's head, and of a message's metadata, as they came. */
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

/** [spec] Trace Context, 3.2: undefined for what is malformed, which counts as absent. */
export function parseTraceparent(text: unknown): TraceParent | undefined {
  if (typeof text !== 'string' || text.length > MAX_TRACEPARENT_CHARS) return undefined;
  const [, version, traceId = '', spanId = '', flags = '', more] = TRACEPARENT.exec(text) ?? [];
  // Later versions may say more behind what is known; version 00 may not.
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

/** What a message carries; undefined when nothing. */
export function carriedTraceparent(json: Uint8Array): TraceParent | undefined {
  if (json.length < TAIL_CHARS) return undefined;
  const start = json.byteOffset + json.length - TAIL_CHARS;
  const tail = Buffer.from(json.buffer, start, TAIL_CHARS).toString('latin1');
  if (!tail.startsWith(BEFORE) || !tail.endsWith(AFTER)) return undefined;
  return parseTraceparent(tail.slice(BEFORE.length, -AFTER.length));
}
