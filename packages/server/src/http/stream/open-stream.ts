/**
 * Wins a socket for a stream: from a request that was read, by whichever lane, over the question whether it may be
 * opened, to a response head and a session on the bare socket. On HTTP/1.1 the body has no length and no chunks, it
 * ends with the connection: every frame is then exactly the bytes that are written.
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
import { frameStyles } from '../../sse/wire/frame.ts';
import type { StreamSocket } from '../../sse/wire/stream-socket.ts';
import { type CorsRules, corsHeaders } from '../cors.ts';
import { errorResponse } from '../error-response.ts';
import { httpDate } from '../http-date.ts';
import { pathOf } from '../request-url.ts';
import { SECURITY_HEADERS } from '../security-headers.ts';
import { errorOn, responseHead } from './response-head.ts';
import { parseStreamRequest, type StreamRequest, type StreamRequestOptions } from './stream-request.ts';

export interface StreamOpenerOptions {
  readonly streams: Streams;
  readonly request: Omit<StreamRequestOptions, 'nowMs'>;
  readonly cors: CorsRules;
  /** What all answers say of the connection. */
  readonly transportHeaders?: Readonly<Record<string, string>>;
  readonly access: {
    readonly gate: Pick<Gate, 'isOpen' | 'ask'>;
    readonly authorizer: Pick<Authorizer, 'admit'>;
  };
  readonly serviceName: string;
  /** Told of streams that are refused with a status, and of faults of ours among them. */
  readonly onRefused: (error: unknown, clientIp: string) => void;
  readonly now: () => number;
}

/** A request for a stream as any lane hands it over. */
export interface IncomingStream {
  /** Request target: path and query as they came. */
  readonly target: string;
  readonly lastEventId: string | undefined;
  readonly origin: string | undefined;
  readonly clientIp: string;
  /** It came through a proxy of ours that takes a 503 to another node. */
  readonly isRetriedElsewhere: boolean;
  /** What may hold a credential, read when one is asked for. */
  readonly parts: () => RequestParts;
}

/**
 * Throws a `RequestError` for a request that asks for no stream, before it has touched the socket; otherwise the
 * socket is taken over, and whatever is wrong is answered on it.
 */
export type OpenStream = (socket: StreamSocket, incoming: IncomingStream) => void;

/** A client over its limit waits for its window to end; an EventSource does so by `retry:`. */
const TURNED_AWAY: Readonly<Record<string, StreamEnd>> = {
  too_many_requests: 'rate_limited',
  authorization_unavailable: 'authorization_unavailable',
};

/** A request that asks for a stream in a way that can be served. */
interface Wish {
  readonly socket: StreamSocket;
  readonly incoming: IncomingStream;
  readonly request: StreamRequest;
}

export function createStreamOpener(options: StreamOpenerOptions): OpenStream {
  const { streams, access, now } = options;

  const planOf = ({ request, incoming }: Wish, principal: Principal | undefined): StreamPlan => ({
    userId: request.userId,
    sessionId: request.sessionId,
    channels: request.channels,
    cursor: request.lastEventId,
    start: request.start,
    styles: frameStyles(request.eventMode, request.errorEvent),
    clientIp: incoming.clientIp,
    credential: principal === undefined ? undefined : streamCredentialOf(principal),
  });
  const headersOf = ({ incoming }: Wish, rate: RateResult | undefined): Record<string, string> => {
    const headers = { ...corsHeaders(incoming.origin, options.cors), ...options.transportHeaders };
    return rate === undefined ? headers : { ...headers, ...rateHeaders(rate) };
  };
  const headOf = (wish: Wish, rate: RateResult | undefined): ResponseHead => {
    const headers = headersOf(wish, rate);
    return (connectionId) =>
      responseHead(wish.socket, 200, streamHeaders(wish.request, connectionId, headers, now()));
  };

  const refuse = (wish: Wish, { error, rate }: Refused, cause: unknown = error): void => {
    const { socket, incoming } = wish;
    const reason = TURNED_AWAY[error.code];
    if (reason !== undefined) {
      const waitMs = reason === 'rate_limited' ? rate?.resetMs : undefined;
      streams.turnAway(socket, planOf(wish, undefined), headOf(wish, rate), { reason, waitMs, cause: error });
      return;
    }
    options.onRefused(cause, incoming.clientIp);
    const response = errorResponse(error, pathOf(incoming.target), options.serviceName);
    const headers = { ...SECURITY_HEADERS, ...headersOf(wish, rate) };
    socket.on('error', ignore);
    socket.end(errorOn(socket, response, headers));
    socket.destroySoon();
    socket.resume();
  };

  /** The application may have to be asked, too. */
  const admit = (wish: Wish, answer: GateAnswer): Admitted | Promise<Admitted> => {
    if (answer.error !== undefined) throw new RefusedStream(answer);
    const { principal, rate } = answer;
    try {
      // Clocks may differ by a little where a token is looked at; a stream cannot begin with one that is over.
      if (principal.expiresAtMs !== undefined && principal.expiresAtMs <= now()) {
        throw new RequestError('unauthorized', 'the token has expired');
      }
      const asked = access.authorizer.admit(principal, wish.request.channels, wish.incoming.clientIp);
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
  };
  const start = (wish: Wish, { principal, rate }: Admitted): void =>
    streams.open(wish.socket, planOf(wish, principal), headOf(wish, rate));
  const fail = (wish: Wish, error: unknown): void => {
    if (error instanceof RefusedStream) {
      refuse(wish, error.answer);
      return;
    }
    const fault = new RequestError('internal_error', 'an internal error occurred');
    refuse(wish, { error: fault, rate: undefined }, error);
  };
  const startWhenAdmitted = async (wish: Wish, asked: Promise<Admitted>): Promise<void> => {
    try {
      const admitted = await streams.hold(wish.socket, asked);
      if (!wish.socket.destroyed) start(wish, admitted);
    } catch (error) {
      if (!wish.socket.destroyed) fail(wish, error);
    }
  };

  return (socket, incoming) => {
    const nowMs = now();
    const request = parseStreamRequest(incoming.target, incoming.lastEventId, { ...options.request, nowMs });
    const wish = { socket, incoming, request };
    // The client never sees this one: it is on another node at once, instead of being told to come back.
    if (incoming.isRetriedElsewhere && streams.isDraining) {
      throw new RequestError('draining', 'this node is stopping');
    }
    // Who would be turned away in any case is asked for nothing, and costs nothing.
    if (access.gate.isOpen || streams.isFull) {
      streams.open(socket, planOf(wish, undefined), headOf(wish, undefined));
      return;
    }
    try {
      const answer = access.gate.ask('connect', incoming.parts(), incoming.clientIp);
      const admitted =
        answer instanceof Promise ? answer.then((later) => admit(wish, later)) : admit(wish, answer);
      if (admitted instanceof Promise) void startWhenAdmitted(wish, admitted);
      else start(wish, admitted);
    } catch (error) {
      fail(wish, error);
    }
  };
}

/** Carries an answer out of whatever was waited for. */
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

function ignore(): void {
  // 'close' follows, and nothing is kept for it.
}

function streamHeaders(
  request: StreamRequest,
  connectionId: string,
  more: Readonly<Record<string, string>>,
  nowMs: number,
): Record<string, string> {
  const headers: Record<string, string> = {
    'Content-Type': 'text/event-stream; charset=utf-8',
    // Proxies: do not keep it, do not change it (compression would hold events back), do not gather it.
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
  for (const name in more) headers[name] = more[name] as string;
  return headers;
}
