/** Opens the stream to watch, and checks that it comes from the service, begins at once and has all its headers. */

import { NoAnswerError } from '../exchange.ts';
import { jsonOf, objectOf, wordOf } from '../json-text.ts';
import { type CheckOutcome, type Finding, made } from '../report.ts';
import { type Service, typeOf } from '../service.ts';
import type { WatchedStream } from '../watched-stream.ts';

export interface OpenedStream {
  readonly stream: WatchedStream;
  readonly connectionId: string;
  /** Time by which the service's clock was ahead of this machine's when it wrote the first event. */
  readonly serviceAheadMs: number;
}

/** The service sends its first event together with the headers; a longer delay means that something buffers it. */
const PROMPT_MS = 2000;
const PATIENCE_MS = 6000;
const MAX_SHOWN_CHARS = 120;

export async function openStream(service: Service): Promise<OpenedStream | Finding> {
  const stream = await service.openStream({ timeoutMs: PATIENCE_MS }).catch((error: Error) => error);
  // A buffering proxy may hold back the headers too.
  if (stream instanceof NoAnswerError) return { code: 'buffered', seen: { seconds: PATIENCE_MS / 1000 } };
  if (stream instanceof Error)
    return { code: 'unreachable', seen: { url: service.base.href, reason: stream.message } };
  const { status, headers } = stream.answer;
  const type = typeOf(headers);
  if (status !== 200 || type !== 'text/event-stream') {
    await stream.watch(performance.now() + PROMPT_MS);
    stream.close();
    return refusal(status, type, wordOf(headers['server']), stream.beginning);
  }
  const first = await stream.event(
    (event) => event.type === 'message' || event.type === 'reconnect',
    PATIENCE_MS,
  );
  if (first === undefined) {
    stream.close();
    return { code: 'buffered', seen: { seconds: PATIENCE_MS / 1000 } };
  }
  const data = jsonOf(first.data);
  const details = objectOf(data?.['data']);
  if (first.type === 'reconnect') {
    stream.close();
    return { code: 'turned_away', seen: { reason: wordOf(details?.['reason']) } };
  }
  const connectionId = details?.['connection_id'];
  const timestamp = Date.parse(wordOf(data?.['timestamp']));
  if (typeof connectionId !== 'string' || Number.isNaN(timestamp)) {
    stream.close();
    return { code: 'not_the_service', seen: { status, type } };
  }
  const lateMs = first.atMs - stream.answer.sentAtMs;
  if (lateMs > PROMPT_MS) {
    // Every other check would be late for the same reason.
    stream.close();
    return { code: 'buffered', seen: { seconds: seconds(lateMs) } };
  }
  // The event was written between the request and its arrival; assume halfway.
  const halfWayMs = (stream.answer.sentAtMs + first.atMs) / 2;
  return { stream, connectionId, serviceAheadMs: timestamp - (performance.timeOrigin + halfWayMs) };
}

export function checkStream({ stream }: OpenedStream): CheckOutcome {
  const encoding = stream.answer.headers['content-encoding'];
  const isPlain = encoding === undefined || encoding === 'identity';
  return made('stream', [isPlain ? undefined : { code: 'compressed', seen: { encoding } }]);
}

export function checkHeaders({ stream }: OpenedStream): CheckOutcome {
  const value = stream.answer.headers['cache-control'] ?? '';
  const words = value.toLowerCase().split(/\s*,\s*/);
  const isWhole =
    words.includes('no-transform') && (words.includes('no-cache') || words.includes('no-store'));
  const isContradicted = words.some((word) => word === 'public' || /^(?:s-)?max-?age=[1-9]/.test(word));
  return made('headers', [
    isWhole && !isContradicted && stream.answer.headers.expires === undefined
      ? undefined
      : { code: 'caching', seen: { value: value || '–', expires: stream.answer.headers.expires ?? '–' } },
  ]);
}

function refusal(status: number, type: string, server: string, text: string): Finding {
  const json = jsonOf(text);
  const isOurs = json?.['error'] === true && typeof json['code'] === 'string';
  const seen = {
    status,
    type,
    by: isOurs ? wordOf(json['service']) : server,
    message: shorten(isOurs ? wordOf(json['message']) : text),
  };
  if (status === 401 || status === 403) {
    if (!isOurs) return { code: 'refused_by_proxy', seen };
    return { code: status === 401 ? 'unauthorized' : 'forbidden', seen };
  }
  if (status === 502 || status === 504) return { code: 'bad_gateway', seen };
  if (status === 429) return { code: 'rate_limited', seen };
  return { code: 'not_the_service', seen };
}

function shorten(text: string): string {
  const line = text
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();
  return line.length > MAX_SHOWN_CHARS ? `${line.slice(0, MAX_SHOWN_CHARS)}…` : line || '–';
}

export function seconds(ms: number): number {
  return Math.round(ms / 100) / 10;
}
