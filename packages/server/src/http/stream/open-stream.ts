/**
 * Turns a request for a stream, read by whichever lane, into a session on the bare socket: asks whether the stream may
 * be opened, and writes the head of the response. On HTTP/1.1 the body has neither a length nor chunks but ends with
 * the connection, so a frame is exactly the bytes that are written.
 */
import type { Authorizer, RequestParts } from '../../access/authorizer.ts';
import {
  type Admitted,
  type Gate,
  type GateAnswer,
  type Refused,
  streamCredentialOf,
} from '../../access/gate.ts';
import { type RateResult, rateHeaders } from '../../access/limits/rate-limiter.ts';
import type { Principal } from '../../access/principal.ts';
import { RequestError } from '../../core/errors.ts';
import type { StreamEnd } from '../../core/stream-ends.ts';
import type { StreamPlan } from '../../sse/stream-plan.ts';
import type { ResponseHead, Streams } from '../../sse/streams.ts';
import type { StreamSocket } from '../../sse/wire/stream-socket.ts';
import { type Answers, requestIdOf } from '../answers.ts';
import { type CorsRules, corsHeaders } from '../cors.ts';
import { httpDate } from '../http-date.ts';
import { pathOf } from '../request-url.ts';
import { endWithAnswer, responseHead } from './response-head.ts';
import { parseStreamRequest, type StreamRequest, type StreamRequestOptions } from './stream-request.ts';

export interface StreamOpenerOptions {
  readonly streams: Streams;
  readonly request: Omit<StreamRequestOptions, 'nowMs'>;
  readonly cors: CorsRules;
  readonly transportHeaders: Readonly<Record<string, string>>;
  readonly access: {
    readonly gate: Pick<Gate, 'isOpen' | 'ask'>;
    readonly authorizer: Pick<Authorizer, 'admit'>;
  };
  /** Makes the answers to streams that are refused with a status. */
  readonly answers: Answers;
  readonly onRefused: (error: unknown, stream: RefusedRequest) => void;
  readonly now: () => number;
}

/** A request for a stream that was answered with an error. */
export interface RefusedRequest {
  readonly requestId: string;
  readonly clientIp: string;
}

/** A request for a stream as any lane hands it over. */
export interface IncomingStream {
  /** Request target: path and query as they came. */
  readonly target: string;
  readonly lastEventId: string | undefined;
  readonly origin: string | undefined;
  /** `X-Request-ID` as it came. */
  readonly requestId: string | undefined;
  readonly clientIp: string;
  /** True if it came through a trusted proxy that takes a 503 to another node. */
  readonly isRetriedElsewhere: boolean;
  /** The parts that may hold a credential. Called only if one is asked for. */
  readonly parts: () => RequestParts;
}

/**
 * Throws a `RequestError`, before it has touched the socket, for a request that does not ask for a stream. Otherwise
 * it takes the socket over and answers on it whatever is wrong.
 */
export type OpenStream = (socket: StreamSocket, incoming: IncomingStream) => void;

export function createStreamOpener(options: StreamOpenerOptions): OpenStream {
  const { streams, now } = options;
  return (socket, incoming) => {
    const request = parseStreamRequest(incoming.target, incoming.lastEventId, {
      ...options.request,
      nowMs: now(),
    });
    // The client never sees this error: the proxy takes it to another node at once, so it need not reconnect.
    if (incoming.isRetriedElsewhere && streams.isDraining) {
      throw new RequestError('draining', 'this node is stopping');
    }
    new StreamOpening(options, socket, incoming, request).run();
  };
}

/** Errors that are answered with 200 and `retry:`, because an EventSource never retries after another status. */
const TURNED_AWAY: Readonly<Record<string, StreamEnd>> = {
  too_many_requests: 'rate_limited',
  authorization_unavailable: 'authorization_unavailable',
};

/** One request for a stream, until its socket belongs to a session or has its answer. */
class StreamOpening {
  readonly #options: StreamOpenerOptions;
  readonly #socket: StreamSocket;
  readonly #incoming: IncomingStream;
  readonly #request: StreamRequest;

  constructor(
    options: StreamOpenerOptions,
    socket: StreamSocket,
    incoming: IncomingStream,
    request: StreamRequest,
  ) {
    this.#options = options;
    this.#socket = socket;
    this.#incoming = incoming;
    this.#request = request;
  }

  run(): void {
    const { access, streams } = this.#options;
    // A client that is turned away in any case need not be authenticated.
    if (access.gate.isOpen || streams.isFull) {
      this.#start(undefined, undefined);
      return;
    }
    try {
      const answer = access.gate.ask('connect', this.#incoming.parts(), this.#incoming.clientIp);
      const admitted =
        answer instanceof Promise ? answer.then((later) => this.#admit(later)) : this.#admit(answer);
      if (admitted instanceof Promise) void this.#startWhenAdmitted(admitted);
      else this.#start(admitted.principal, admitted.rate);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Asks the application too, if it has a say. */
  #admit(answer: GateAnswer): Admitted | Promise<Admitted> {
    if (answer.error !== undefined) throw new RefusedStream(answer);
    const { principal, rate } = answer;
    const { access, now } = this.#options;
    try {
      // Verifying a token tolerates a difference of clocks; a stream cannot begin with a token that is over.
      if (principal.expiresAtMs !== undefined && principal.expiresAtMs <= now()) {
        throw new RequestError('unauthorized', 'the token has expired');
      }
      const asked = access.authorizer.admit(principal, this.#request.channels, this.#incoming.clientIp);
      if (asked === undefined) return answer;
      return asked.then(
        () => answer,
        (error: unknown) => {
          throw refusedStream(error, rate);
        },
      );
    } catch (error) {
      throw refusedStream(error, rate);
    }
  }

  async #startWhenAdmitted(asked: Promise<Admitted>): Promise<void> {
    try {
      const { principal, rate } = await this.#options.streams.hold(this.#socket, asked);
      if (!this.#socket.destroyed) this.#start(principal, rate);
    } catch (error) {
      if (!this.#socket.destroyed) this.#fail(error);
    }
  }

  #start(principal: Principal | undefined, rate: RateResult | undefined): void {
    this.#options.streams.open(this.#socket, this.#plan(principal), this.#head(rate));
  }

  #fail(error: unknown): void {
    if (error instanceof RefusedStream) {
      this.#refuse(error.answer);
      return;
    }
    const fault = new RequestError('internal_error', 'an internal error occurred');
    this.#refuse({ error: fault, rate: undefined }, error);
  }

  #refuse({ error, rate }: Refused, cause: unknown = error): void {
    const { streams, answers, onRefused } = this.#options;
    const { clientIp, origin, target } = this.#incoming;
    const reason = TURNED_AWAY[error.code];
    if (reason !== undefined) {
      const waitMs = reason === 'rate_limited' ? rate?.resetMs : undefined;
      streams.turnAway(this.#socket, this.#plan(undefined), this.#head(rate), {
        reason,
        waitMs,
        cause: error,
      });
      return;
    }
    const requestId = requestIdOf(this.#incoming.requestId);
    onRefused(cause, { requestId, clientIp });
    const { status, headers, body } = answers.errorAnswer(error, pathOf(target));
    const all = { ...answers.ownHeaders(requestId, origin), ...(rate && rateHeaders(rate)), ...headers };
    endWithAnswer(this.#socket, { status, headers: all, body });
  }

  #plan(principal: Principal | undefined): StreamPlan {
    const credential = principal === undefined ? undefined : streamCredentialOf(principal);
    return { ...this.#request, clientIp: this.#incoming.clientIp, credential };
  }

  #head(rate: RateResult | undefined): ResponseHead {
    const { cors, now, transportHeaders } = this.#options;
    const socket = this.#socket;
    const request = this.#request;
    const { origin } = this.#incoming;
    return (connectionId) =>
      responseHead(socket, 200, {
        ...streamHeaders(request, connectionId, now()),
        ...corsHeaders(origin, cors),
        ...transportHeaders,
        ...(rate && rateHeaders(rate)),
      });
  }
}

/** Carries a refusal and its rate headers through promises. */
class RefusedStream extends Error {
  readonly answer: Refused;

  constructor(answer: Refused) {
    super(answer.error.message, { cause: answer.error });
    this.answer = answer;
  }
}

function refusedStream(error: unknown, rate: RateResult | undefined): unknown {
  return error instanceof RequestError ? new RefusedStream({ error, rate }) : error;
}

function streamHeaders(request: StreamRequest, connectionId: string, nowMs: number): Record<string, string> {
  const headers: Record<string, string> = {
    'Content-Type': 'text/event-stream; charset=utf-8',
    // Proxies must not store it, change it (compression would hold events back) or buffer it.
    'Cache-Control': 'no-cache, no-transform',
    'X-Accel-Buffering': 'no',
    'X-Content-Type-Options': 'nosniff',
    date: httpDate(nowMs),
    'X-Connection-ID': connectionId,
  };
  const { userId, service, taskId } = request;
  if (userId !== undefined) headers['X-User-ID'] = encodeURIComponent(userId);
  if (service !== undefined) headers['X-Service'] = encodeURIComponent(service);
  if (taskId !== undefined) headers['X-Task-ID'] = encodeURIComponent(taskId);
  return headers;
}
