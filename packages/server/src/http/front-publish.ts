/** Answers a publish that the front has read: the publisher stage's answer, or the error's, as HTTP/1.1. */
import { STATUS_CODES } from 'node:http';
import type { Publisher, PublishKind } from '../publish/publisher.ts';
import { errorResponse } from './error-response.ts';
import type { FrontOptions } from './front.ts';
import { httpDate } from './http-date.ts';
import { pathOf } from './request-url.ts';

export interface FrontPublishOptions {
  readonly publisher: Pick<Publisher, 'handle'>;
  readonly serviceName: string;
  /** Told of every answer. */
  readonly onAnswered: (kind: PublishKind, status: number, seconds: number) => void;
  /** Told of faults of ours, which are answered without a word of their own. */
  readonly onFault: (error: unknown, requestId: string | undefined) => void;
}

// An id that another service gave the request comes back with the answer; anything odd does not.
const REQUEST_ID = /^[\w.:/-]{1,128}$/;

export function createFrontPublish({
  publisher,
  serviceName,
  onAnswered,
  onFault,
}: FrontPublishOptions): FrontOptions['publish'] {
  return async (kind, body, head, ack) => {
    const startedMs = performance.now();
    const given = head.headers.get('x-request-id');
    const requestId = given !== undefined && REQUEST_ID.test(given) ? given : undefined;
    let status = 200;
    let extra = '';
    let json: string;
    try {
      json = (await publisher.handle(kind, body, ack)).json;
    } catch (error) {
      const response = errorResponse(error, pathOf(head.target), serviceName);
      ({ status, body: json } = response);
      if (status === 500) onFault(error, requestId);
      const retryAfter = response.headers['retry-after'];
      if (retryAfter !== undefined) extra = `Retry-After: ${retryAfter}\r\n`;
    }
    onAnswered(kind, status, (performance.now() - startedMs) / 1000);
    if (requestId !== undefined) extra += `X-Request-ID: ${requestId}\r\n`;
    return (
      `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}\r\n` +
      'Content-Type: application/json; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n' +
      `Date: ${httpDate(Date.now())}\r\n${extra}Content-Length: ${Buffer.byteLength(json)}\r\n\r\n${json}`
    );
  };
}
