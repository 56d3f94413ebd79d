/**
 * Checks that what a reconnecting browser sends arrives: the header `Last-Event-ID`, the query, and the largest usual
 * requests. An invalid cursor is answered with a `gap`, so the check needs no lost message.
 */
import { type CheckOutcome, made } from '../report.ts';
import { type Service, typeOf } from '../service.ts';
import type { WatchedStream } from '../watched-stream.ts';

const NO_CURSOR = 'doctor';
const PATIENCE_MS = 4000;
/** Size of the longest cursor. */
const CURSOR_BYTES = 1023;
/** Cookies of an application with a session and analytics, and a URL of many channels. */
const COOKIE_BYTES = 4096;
const QUERY_BYTES = 2048;

export async function checkResume(service: Service): Promise<CheckOutcome> {
  const byHeader = await isTold(service, { headers: { 'last-event-id': NO_CURSOR } });
  const byQuery = await isTold(service, { query: { last_event_id: NO_CURSOR } });
  return made('resume', [
    byHeader ? undefined : { code: 'last_event_id_lost', seen: {} },
    byQuery ? undefined : { code: 'query_lost', seen: {} },
  ]);
}

async function isTold(service: Service, options: Parameters<Service['openStream']>[0]): Promise<boolean> {
  const stream = await service.openStream(options).catch((): undefined => undefined);
  if (stream === undefined) return false;
  const gap = await stream.event(
    ({ type, data }) => type === 'gap' && data.includes('invalid_cursor'),
    PATIENCE_MS,
  );
  stream.close();
  return gap !== undefined;
}

export async function checkRequestSize(service: Service): Promise<CheckOutcome> {
  const headers = {
    'last-event-id': NO_CURSOR.padEnd(CURSOR_BYTES, 'x'),
    cookie: `doctor=${'c'.repeat(COOKIE_BYTES)}`,
  };
  const header = await refusal(() => service.openStream({ headers }));
  const query = await refusal(() => service.openStream({ query: { doctor: 'q'.repeat(QUERY_BYTES) } }));
  return made('request_size', [
    header === undefined
      ? undefined
      : { code: 'header_limit', seen: { answer: header, bytes: CURSOR_BYTES + COOKIE_BYTES } },
    query === undefined ? undefined : { code: 'url_limit', seen: { answer: query, bytes: QUERY_BYTES } },
  ]);
}

/** Resolves with what came instead of a stream; with `undefined` when a stream was opened. */
async function refusal(open: () => Promise<WatchedStream>): Promise<string | undefined> {
  const stream = await open().catch((error: Error) => error);
  if (stream instanceof Error) return stream.message;
  stream.close();
  const { status, headers } = stream.answer;
  return status === 200 && typeOf(headers) === 'text/event-stream' ? undefined : String(status);
}
