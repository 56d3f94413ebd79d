/**
 * The one place that turns an error into an answer: `{error: true, status_code, code, message, details?, service,
 * path}`. A function of values, so that requests that never reach Fastify are answered alike.
 */
import { STATUS_CODES } from 'node:http';
import { RequestError } from '../core/errors.ts';

export interface ErrorResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON text. */
  readonly body: string;
}

const DEFAULT_RETRY_AFTER_SECONDS = 1;

/**
 * `path` is the URL's path without its query, which may hold credentials; null when the request had none that can
 * be read. Anything but a `RequestError` is a fault of ours: it is answered without a word of its own, and the
 * caller logs it.
 */
export function errorResponse(error: unknown, path: string | null, serviceName: string): ErrorResponse {
  const known =
    error instanceof RequestError ? error : new RequestError('internal_error', 'an internal error occurred');
  const { status } = known;
  const headers: Record<string, string> = { 'content-type': 'application/json; charset=utf-8' };
  if (status === 429 || status === 503) {
    headers['retry-after'] = String(known.retryAfterSeconds ?? DEFAULT_RETRY_AFTER_SECONDS);
  }
  // [spec] RFC 9110, 11.6.1: says by which scheme one may come in.
  if (status === 401) headers['www-authenticate'] = 'Bearer';
  const body = JSON.stringify({
    error: true,
    status_code: status,
    code: known.code,
    message: known.message,
    ...(known.details === undefined ? {} : { details: known.details }),
    service: serviceName,
    path,
  });
  return { status, headers, body };
}

/** The whole answer as HTTP/1.1, for a connection that has no response object. It ends the connection. */
export function rawErrorResponse(
  response: ErrorResponse,
  headers: Readonly<Record<string, string>> = {},
): string {
  const all = {
    ...response.headers,
    ...headers,
    'content-length': String(Buffer.byteLength(response.body)),
    connection: 'close',
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  const reason = STATUS_CODES[response.status] ?? 'Error';
  return `HTTP/1.1 ${response.status} ${reason}\r\n${lines.join('')}\r\n${response.body}`;
}
