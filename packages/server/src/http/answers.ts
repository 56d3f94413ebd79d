/**
 * What every answer has, whichever lane writes it: the id of its request, its headers, and its lines in the log. Lanes
 * differ in how they read requests and write bytes, but in nothing that a client or an operator sees. Only the head of
 * a stream is not made here but in `stream/open-stream.ts`.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { RequestError } from '../core/errors.ts';
import type { Log } from '../observe/log/log.ts';
import { type CorsRules, corsHeaders } from './cors.ts';
import { type ErrorResponse, errorResponse } from './error-response.ts';
import { httpDate } from './http-date.ts';
import { requestErrorOf } from './request-error-of.ts';
import { pathOf } from './request-url.ts';
import { SECURITY_HEADERS } from './security-headers.ts';

/** The request that an answer and its log lines belong to. */
export interface AnsweredRequest {
  readonly requestId: string;
  /** Absent, like the path, when the head of the request could not be read. */
  readonly method: string | undefined;
  /** The path without the query, which may hold credentials. */
  readonly path: string | null;
}

/** Counts the answers of one method and route. */
export interface RouteCounter {
  record(status: number, seconds: number): void;
}

export interface AnswersOptions {
  readonly serviceName: string;
  readonly cors: CorsRules;
  /** Headers about the connection: `Strict-Transport-Security` behind TLS. */
  readonly transportHeaders: Readonly<Record<string, string>>;
  readonly log: Pick<Log, 'debug' | 'info' | 'warn' | 'error' | 'isLevelEnabled'>;
  /** `route` is a pattern, so that it can be a label of a metric. */
  readonly counterOf: (method: string, route: string) => RouteCounter;
}

/** An id that an answer can carry and a log line can show; it cannot break either. */
const REQUEST_ID = /^[\w.:/-]{1,128}$/;

/** The id that a client or a gateway sent in `X-Request-ID`, or a new one if it is missing or malformed. */
export function requestIdOf(given: string | readonly string[] | undefined): string {
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID();
}

/** A request whose head was read, for an answer that no route makes. */
export function answeredRequestOf({
  headers,
  method,
  url = '',
}: Pick<IncomingMessage, 'headers' | 'method' | 'url'>): AnsweredRequest {
  return { requestId: requestIdOf(headers['x-request-id']), method, path: pathOf(url) };
}

export class Answers {
  readonly #options: AnswersOptions;
  /** Headers of an answer to a request without `Origin`, but for its id. They are the same for all such requests. */
  readonly constantHeaders: Readonly<Record<string, string>>;

  constructor(options: AnswersOptions) {
    this.#options = options;
    this.constantHeaders = this.#headersFor(undefined);
  }

  /** Headers of every answer; `origin` is the request's header. */
  headers(requestId: string, origin: string | undefined): Record<string, string> {
    const headers = origin === undefined ? this.constantHeaders : this.#headersFor(origin);
    return { ...headers, 'x-request-id': requestId };
  }

  counterOf(method: string, route: string): RouteCounter {
    return this.#options.counterOf(method, route);
  }

  /**
   * The answer to a request that failed, without the headers of every answer. A status of 500 and above is logged:
   * expected failures, such as an unreachable engine, as warnings, and faults of the service as errors.
   */
  failed(error: unknown, request: AnsweredRequest): ErrorResponse {
    const known = requestErrorOf(error);
    if (known.status >= 500) {
      const isFault = known.code === 'internal_error';
      this.#options.log[isFault ? 'error' : 'warn']({ ...lineOf(request), err: error }, known.message);
    }
    return this.errorAnswer(known, request.path);
  }

  /** The same without a log line, for callers that write their own. */
  errorAnswer(error: RequestError, path: string | null): ErrorResponse {
    return errorResponse(error, path, this.#options.serviceName);
  }

  /** Counts an answer and writes the line of its request. */
  answered(request: AnsweredRequest, counter: RouteCounter, status: number, ms: number): void {
    counter.record(status, ms / 1_000);
    this.#logRequest(request, status, ms);
  }

  /**
   * The whole answer to a request that no route answers: it cannot be read, or it did not arrive in time. `request` is
   * absent if its head cannot be read. The log line of the request is written here.
   */
  refusal(error: RequestError, request: AnsweredRequest = unreadRequest()): ErrorResponse {
    const { status, headers, body } = this.failed(error, request);
    this.#logRequest(request, status, undefined);
    return { status, headers: { ...this.ownHeaders(request.requestId, undefined), ...headers }, body };
  }

  /** `headers` with the date, for answers that are not written by one of Node's servers. */
  ownHeaders(requestId: string, origin: string | undefined): Record<string, string> {
    return { ...this.headers(requestId, origin), date: httpDate(Date.now()) };
  }

  /** The same rules for a connection without TLS. [spec] RFC 6797, 7.2: such an answer must not carry HSTS. */
  withoutTransport(): Answers {
    return new Answers({ ...this.#options, transportHeaders: {} });
  }

  #headersFor(origin: string | undefined): Record<string, string> {
    const { cors, transportHeaders } = this.#options;
    return { ...SECURITY_HEADERS, ...transportHeaders, ...corsHeaders(origin, cors) };
  }

  #logRequest(request: AnsweredRequest, status: number, ms: number | undefined): void {
    const { log } = this.#options;
    const level = status >= 400 ? 'info' : 'debug';
    if (!log.isLevelEnabled(level)) return;
    const roundedMs = ms === undefined ? undefined : Math.round(ms * 10) / 10;
    log[level]({ ...lineOf(request), status, ms: roundedMs }, 'request');
  }
}

function lineOf({ requestId, method, path }: AnsweredRequest): AnsweredRequest {
  return { requestId, method, path };
}

function unreadRequest(): AnsweredRequest {
  return { requestId: requestIdOf(undefined), method: undefined, path: null };
}
