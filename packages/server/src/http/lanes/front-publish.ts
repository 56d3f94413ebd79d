/** Answers a publish that the front has read: the publisher stage's answer, or the error's, as HTTP/1.1. */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { demandPublish, demandPublishOf } from '../../access/decisions.ts';
import type { Gate, GateAnswer } from '../../access/gate.ts';
import { type RateResult, rateHeaders } from '../../access/limits/rate-limiter.ts';
import type { RequestError } from '../../core/errors.ts';
import type { TraceFields } from '../../observe/tracing/trace-context.ts';
import type { Publisher, PublishKind } from '../../publish/publisher.ts';
import { errorResponse } from '../error-response.ts';
import { httpDate } from '../http-date.ts';
import { pathOf } from '../request-url.ts';
import type { FrontOptions } from './front.ts';
import type { PlainHead } from './front-request.ts';
import { plainParts } from './plain-parts.ts';

export interface FrontPublishOptions {
  readonly publisher: Pick<Publisher, 'handle'>;
  readonly gate: Pick<Gate, 'isOpen' | 'ask'>;
  readonly clientIp: (socket: Socket, forwardedFor: string | undefined) => string;
  readonly serviceName: string;
  /** Whether the trace that a publisher names is of interest. */
  readonly isTracing: boolean;
  /** Told of every answer. */
  readonly onAnswered: (kind: PublishKind, status: number, seconds: number) => void;
  /** Told of faults of ours, which are answered without a word of their own. */
  readonly onFault: (error: unknown, requestId: string | undefined) => void;
}

// An id that another service gave the request comes back with the answer; anything odd does not.
const REQUEST_ID = /^[\w.:/-]{1,128}$/;

export function createFrontPublish(options: FrontPublishOptions): Pick<FrontOptions, 'admit' | 'publish'> {
  const { publisher, gate, clientIp, serviceName, isTracing, onAnswered, onFault } = options;

  const refusalText = (
    kind: PublishKind,
    head: PlainHead,
    error: unknown,
    rate: RateResult | undefined,
    startedMs: number,
    isLast = false,
  ): string => {
    const response = errorResponse(error, pathOf(head.target), serviceName);
    if (response.status === 500) onFault(error, requestIdOf(head));
    onAnswered(kind, response.status, (performance.now() - startedMs) / 1000);
    let extra = isLast ? 'Connection: close\r\n' : '';
    for (const [name, value] of Object.entries(response.headers)) {
      if (name !== 'content-type') extra += headerLine(name, value);
    }
    return responseText(response.status, response.body, head, rate, extra);
  };

  return {
    admit: (kind, head, socket) => {
      if (gate.isOpen) return undefined;
      const startedMs = performance.now();
      const asked = gate.ask(
        'request',
        plainParts(head),
        clientIp(socket, head.headers.get('x-forwarded-for')),
      );
      const answer =
        asked instanceof Promise ? asked.then((later) => demanded(kind, later)) : demanded(kind, asked);
      return {
        answer,
        refusal: () =>
          Promise.resolve(answer).then(
            ({ error, rate }) => error && (() => refusalText(kind, head, error, rate, startedMs, true)),
            (error: unknown) => () => refusalText(kind, head, error, undefined, startedMs, true),
          ),
      };
    },

    publish: async (kind, body, head, ack, admission) => {
      const startedMs = performance.now();
      let rate: RateResult | undefined;
      try {
        const caller = isTracing ? traceFieldsOf(head.headers) : undefined;
        if (admission === undefined) {
          const { json } = await publisher.handle(kind, body, ack, undefined, caller);
          onAnswered(kind, 200, (performance.now() - startedMs) / 1000);
          return responseText(200, json, head, undefined, '');
        }
        const answer = admission.answer instanceof Promise ? await admission.answer : admission.answer;
        ({ rate } = answer);
        if (answer.error !== undefined) throw answer.error;
        const { principal } = answer;
        const demand = principal.channels.isAll
          ? undefined
          : (channels: readonly string[]) => demandPublish(principal, channels);
        const { json } = await publisher.handle(kind, body, ack, demand, caller);
        onAnswered(kind, 200, (performance.now() - startedMs) / 1000);
        return responseText(200, json, head, rate, '');
      } catch (error) {
        return refusalText(kind, head, error, rate, startedMs);
      }
    },
  };
}

/** With what can be said without the body. */
function demanded(kind: PublishKind, answer: GateAnswer): GateAnswer {
  if (answer.error !== undefined) return answer;
  try {
    demandPublishOf(answer.principal, kind);
    return answer;
  } catch (error) {
    return { error: error as RequestError, rate: answer.rate };
  }
}

function responseText(
  status: number,
  json: string,
  head: PlainHead,
  rate: RateResult | undefined,
  extra: string,
): string {
  const requestId = requestIdOf(head);
  let more = extra;
  if (rate !== undefined) {
    for (const [name, value] of Object.entries(rateHeaders(rate))) {
      // What an error says of it comes with the error.
      if (name !== 'retry-after') more += headerLine(name, value);
    }
  }
  if (requestId !== undefined) more += `X-Request-ID: ${requestId}\r\n`;
  return (
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}\r\n` +
    'Content-Type: application/json; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n' +
    `Date: ${httpDate(Date.now())}\r\n${more}Content-Length: ${Buffer.byteLength(json)}\r\n\r\n${json}`
  );
}

/** Names are written as people know them: `Retry-After`. */
function headerLine(name: string, value: string): string {
  return `${name.replace(/(?:^|-)[a-z]/g, (start) => start.toUpperCase())}: ${value}\r\n`;
}

function traceFieldsOf(headers: ReadonlyMap<string, string>): TraceFields | undefined {
  const traceparent = headers.get('traceparent');
  return traceparent === undefined ? undefined : { traceparent, tracestate: headers.get('tracestate') };
}

function requestIdOf({ headers }: PlainHead): string | undefined {
  const given = headers.get('x-request-id');
  return given !== undefined && REQUEST_ID.test(given) ? given : undefined;
}
