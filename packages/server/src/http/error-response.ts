/**
 * The one place that turns an error into an answer: `{error: true, status_code, code, message, details?, service,
 * path}`. A pure function, so that requests that never reach Fastify get the same answer.
 */
import { STATUS_CODES } from 'node:http';
import type { RequestError } from '../core/errors.ts';

export interface ErrorResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON text. */
  readonly body: string;
}

const DEFAULT_RETRY_AFTER_SECONDS = 1;

/** `path` is the path of the URL without its query, which may hold credentials; null if it could not be read. */
export function errorResponse(known: RequestError, path: string | null, serviceName: string): ErrorResponse {
  const { status } = known;
  const headers: Record<string, string> = { 'content-type': 'application/json; charset=utf-8' };
  if (status === 429 || status === 503) {
    headers['retry-after'] = String(known.retryAfterSeconds ?? DEFAULT_RETRY_AFTER_SECONDS);
  }
  // [spec] RFC 9110, 11.6.1: a 401 names a scheme by which the client can authenticate.
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

/** The whole answer as HTTP/1.1, for a connection without a response object. It is the last on its connection. */
export function rawErrorResponse({ status, headers, body }: ErrorResponse): string {
  const length = `content-length: ${Buffer.byteLength(body)}\r\n`;
  return `${statusLine(status)}${headerLines(headers)}${length}connection: close\r\n\r\n${body}`;
}

export function statusLine(status: number): string {
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}\r\n`;
}

export function headerLines(headers: Readonly<Record<string, string>>): string {
  let lines = '';
  for (const name in headers) lines += `${name}: ${headers[name]}\r\n`;
  return lines;
}
