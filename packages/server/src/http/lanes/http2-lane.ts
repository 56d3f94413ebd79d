/**
 * The HTTP/2 lane. Node's HTTP/2 server, which does not listen itself, reads the connections that the TLS server hands
 * over; their requests go to the same handler as those of HTTP/1.1.
 *
 * What this file has to get right is what one connection can make the process hold: its concurrent streams, their
 * heads and unsent bytes, requests that never end, and connections that carry nothing. Node and nghttp2 close a
 * connection that floods the server with resets, settings or broken frames; no other connection is affected.
 */
import {
  constants,
  createServer,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerOptions,
} from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { RequestError } from '../../core/errors.ts';
import { type Answers, answeredRequestOf } from '../answers.ts';
import { isEventStream } from '../stream/response-head.ts';
import { refuseExpectation } from './node-server.ts';

export interface Http2LaneOptions {
  readonly handler: (request: Http2ServerRequest, response: Http2ServerResponse) => void;
  readonly answers: Answers;
  readonly maxHeaderBytes: number;
  /** Time within which a whole request must arrive. */
  readonly requestTimeoutMs: number;
  /** Time after which a connection without a stream is closed. */
  readonly keepAliveMs: number;
  /** Unsent bytes that a stream may hold. */
  readonly maxOutboxBytes: number;
  readonly isDraining: () => boolean;
  readonly now: () => number;
}

/** More than a browser opens by itself, so that a page can have a stream per widget. */
const MAX_STREAMS = 128;
/** Streams that a client may reset: in one burst, and per second. */
const RESET_BURST = 256;
const RESETS_PER_SECOND = 32;
const MAX_BROKEN_FRAMES = 100;
const MAX_REFUSED_STREAMS = 100;
const MAX_HEADERS = 128;
const MEGABYTE = 1_000_000;
const SWEEP_MS = 1_000;
/** Time for an answer to be made and read. Event streams have timeouts of their own. */
const EXCHANGE_MS = 300_000;
/** Time for a peer to close its side of a connection that was closed here. */
const CLOSING_MS = 5_000;

/** [Node] Documented, but missing in its types. */
interface NotInTypes {
  readonly maxSessionInvalidFrames: number;
  readonly maxSessionRejectedStreams: number;
}

interface Connection {
  readonly session: ServerHttp2Session;
  streams: number;
  /** When its last stream ended, or when it was closed. */
  sinceMs: number;
}

/** A request and its answer. */
interface Exchange {
  readonly sinceMs: number;
  isRequestWhole: boolean;
  /** Absent until the request is handed on, like `response`. */
  request?: Http2ServerRequest;
  response?: Http2ServerResponse;
}

export class Http2Lane {
  readonly #options: Http2LaneOptions;
  readonly #server: Http2Server;
  readonly #connections = new Map<TLSSocket, Connection>();
  readonly #exchanges = new Map<ServerHttp2Stream, Exchange>();
  #timer: NodeJS.Timeout | undefined;
  #onEmpty: (() => void) | undefined;
  /** The socket whose session is about to be created. */
  #taken: TLSSocket | undefined;

  constructor(options: Http2LaneOptions) {
    this.#options = options;
    const serverOptions: ServerOptions & NotInTypes = {
      settings: {
        maxConcurrentStreams: MAX_STREAMS,
        maxHeaderListSize: options.maxHeaderBytes,
        enablePush: false,
      },
      maxHeaderListPairs: MAX_HEADERS,
      streamResetBurst: RESET_BURST,
      streamResetRate: RESETS_PER_SECOND,
      maxSessionInvalidFrames: MAX_BROKEN_FRAMES,
      maxSessionRejectedStreams: MAX_REFUSED_STREAMS,
      // Each stream may hold its outbox and a page of history. Above it new streams are refused; none is ended.
      maxSessionMemory: Math.ceil((MAX_STREAMS * 2 * options.maxOutboxBytes) / MEGABYTE) + 10,
    };
    this.#server = createServer(serverOptions);
    this.#server.on('session', (session) => this.#add(session));
    // The types say Http2Stream, which is the client's too; a server makes ServerHttp2Stream.
    this.#server.on('stream', (stream, _headers, flags) => this.#watch(stream as ServerHttp2Stream, flags));
    this.#server.on('checkExpectation', (request: Http2ServerRequest, response: Http2ServerResponse) =>
      refuseExpectation(request, response, options.answers),
    );
    this.#server.on('request', (request, response) => {
      const exchange = this.#exchanges.get(request.stream);
      if (exchange !== undefined) Object.assign(exchange, { request, response });
      // [spec] RFC 9113, 8.3.1: `:authority` replaces Host, which the rest of the code reads.
      request.headers.host ??= request.authority;
      options.handler(request, response);
    });
  }

  take(socket: TLSSocket): void {
    // A peer that has closed its side of an HTTP/2 connection has gone.
    socket.allowHalfOpen = false;
    this.#taken = socket;
    this.#server.emit('connection', socket);
    this.#taken = undefined;
  }

  start(): void {
    this.#timer = setInterval(() => this.#sweep(), SWEEP_MS);
    this.#timer.unref();
  }

  /** Takes no new streams and waits until all connections are gone, for at most `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    for (const connection of this.#connections.values()) this.#letGo(connection);
    if (this.#connections.size > 0) {
      await new Promise<void>((resolve) => {
        this.#onEmpty = resolve;
        setTimeout(resolve, timeoutMs);
      });
    }
    clearInterval(this.#timer);
    for (const socket of this.#connections.keys()) socket.destroy();
  }

  #add(session: ServerHttp2Session): void {
    const socket = this.#taken;
    if (socket === undefined) return;
    const connection = { session, streams: 0, sinceMs: this.#options.now() };
    this.#connections.set(socket, connection);
    socket.once('close', () => {
      this.#connections.delete(socket);
      if (this.#connections.size === 0) this.#onEmpty?.();
    });
    session.on('stream', (stream) => {
      connection.streams++;
      stream.once('close', () => {
        connection.streams--;
        connection.sinceMs = this.#options.now();
        // A client whose stream was told to reconnect must do so on a new connection.
        if (this.#options.isDraining()) this.#letGo(connection);
      });
    });
  }

  /** Sends GOAWAY: no new streams are taken, open ones go on. */
  #letGo({ session }: Connection): void {
    if (!session.closed && !session.destroyed) session.close();
  }

  #watch(stream: ServerHttp2Stream, flags: number): void {
    const isRequestWhole = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    const exchange: Exchange = { sinceMs: this.#options.now(), isRequestWhole };
    this.#exchanges.set(stream, exchange);
    stream.once('close', () => this.#exchanges.delete(stream));
    if (!isRequestWhole) {
      stream.once('end', () => {
        exchange.isRequestWhole = true;
      });
    }
  }

  #sweep(): void {
    const nowMs = this.#options.now();
    for (const [stream, exchange] of this.#exchanges) {
      const { sinceMs, isRequestWhole } = exchange;
      if (isEventStream(stream)) this.#exchanges.delete(stream);
      else if (nowMs - sinceMs > EXCHANGE_MS) stream.close(constants.NGHTTP2_CANCEL);
      else if (!isRequestWhole && nowMs - sinceMs > this.#options.requestTimeoutMs)
        this.#refuseLate(stream, exchange);
    }
    for (const [socket, connection] of this.#connections) {
      const { session, streams, sinceMs } = connection;
      if (streams > 0) continue;
      const idleMs = nowMs - sinceMs;
      if (session.closed || session.destroyed) {
        if (idleMs > this.#options.keepAliveMs + CLOSING_MS) socket.destroy();
      } else if (idleMs > this.#options.keepAliveMs) this.#letGo(connection);
    }
  }

  /** A client that was answered before its request was whole need not send the rest. */
  #refuseLate(stream: ServerHttp2Stream, { request, response }: Exchange): void {
    if (stream.headersSent) {
      if (stream.writableFinished) stream.close();
      return;
    }
    const seconds = this.#options.requestTimeoutMs / 1000;
    const problem = `the whole request did not arrive within ${seconds} s`;
    const { status, headers, body } = this.#options.answers.refusal(
      new RequestError('request_timeout', problem),
      request === undefined ? undefined : answeredRequestOf(request),
    );
    // [Node] Fastify would take it for the end of an answer of its own, and log the request again.
    response?.removeAllListeners('finish');
    stream.respond({ ':status': status, ...headers });
    stream.once('finish', () => stream.close());
    stream.end(body);
  }
}
