/**
 * The lane of HTTP/2: connections that the TLS server gives it are read by Node's HTTP/2 server, which does not
 * listen itself, and their requests go to the same handler as those of HTTP/1.1.
 *
 * What this file has to get right is what one connection may make us hold: its streams at once, their heads and
 * unsent bytes, requests whose end never comes, and connections that carry nothing. A connection that floods us with
 * resets, settings or broken frames is closed by Node and nghttp2, and hurts no other one.
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
import type { Answers } from '../answers.ts';
import { isEventStream } from '../stream/response-head.ts';
import { refuseExpectation } from './node-server.ts';

export interface Http2LaneOptions {
  readonly handler: (request: Http2ServerRequest, response: Http2ServerResponse) => void;
  readonly answers: Answers;
  readonly maxHeaderBytes: number;
  /** For a whole request to arrive. */
  readonly requestTimeoutMs: number;
  /** For a connection without a stream. */
  readonly keepAliveMs: number;
  /** Unsent bytes that a stream may hold. */
  readonly maxOutboxBytes: number;
  readonly isDraining: () => boolean;
  readonly now: () => number;
}

/** More than a browser opens by itself, so that a page may have a stream per widget. */
const MAX_STREAMS = 128;
/** Streams that a client has reset: as many at once, and per second. */
const RESET_BURST = 256;
const RESETS_PER_SECOND = 32;
const MAX_BROKEN_FRAMES = 100;
const MAX_REFUSED_STREAMS = 100;
const MAX_HEADERS = 128;
const MEGABYTE = 1_000_000;
const SWEEP_MS = 1_000;
/** For an answer to be made and read. Streams of events have their own clock. */
const EXCHANGE_MS = 300_000;
/** For a peer to close its side of a connection that was closed here. */
const CLOSING_MS = 5_000;

/** [Node] Documented, and missing in its types. */
interface NotInTypes {
  readonly maxSessionInvalidFrames: number;
  readonly maxSessionRejectedStreams: number;
}

interface Connection {
  readonly session: ServerHttp2Session;
  streams: number;
  /** When its last stream ended, or it was closed. */
  sinceMs: number;
}

/** A request and its answer. */
interface Exchange {
  readonly sinceMs: number;
  isRequestWhole: boolean;
}

export class Http2Lane {
  readonly #options: Http2LaneOptions;
  readonly #server: Http2Server;
  readonly #connections = new Map<TLSSocket, Connection>();
  readonly #exchanges = new Map<ServerHttp2Stream, Exchange>();
  #timer: NodeJS.Timeout | undefined;
  #onEmpty: (() => void) | undefined;
  /** Of the connection that is being taken over. */
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
      // Every stream may hold its outbox and a page besides. New streams are refused above it, and none is cut.
      maxSessionMemory: Math.ceil((MAX_STREAMS * 2 * options.maxOutboxBytes) / MEGABYTE) + 10,
    };
    this.#server = createServer(serverOptions);
    this.#server.on('session', (session) => this.#add(session));
    this.#server.on('stream', (stream, _headers, flags) => this.#watch(stream, flags));
    this.#server.on('checkExpectation', (request: Http2ServerRequest, response: Http2ServerResponse) =>
      refuseExpectation(request, response, options.answers),
    );
    this.#server.on('request', (request, response) => {
      // [spec] RFC 9113, 8.3.1: it takes the place of Host, which all that follows reads.
      request.headers.host ??= request.authority;
      options.handler(request, response);
    });
  }

  take(socket: TLSSocket): void {
    // On HTTP/2 a peer that has closed its side has gone.
    socket.allowHalfOpen = false;
    this.#taken = socket;
    this.#server.emit('connection', socket);
    this.#taken = undefined;
  }

  start(): void {
    this.#timer = setInterval(() => this.#sweep(), SWEEP_MS);
    this.#timer.unref();
  }

  /** Lets streams end, takes no new ones, and waits until all connections have gone, for so long. */
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
        // Once a stream has heard its farewell, a client must find another connection: it comes back by a new one.
        if (this.#options.isDraining()) this.#letGo(connection);
      });
    });
  }

  /** Says that no more streams are taken; those that are open go on. */
  #letGo({ session }: Connection): void {
    if (!session.closed && !session.destroyed) session.close();
  }

  #watch(stream: ServerHttp2Stream, flags: number): void {
    const isRequestWhole = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    const exchange = { sinceMs: this.#options.now(), isRequestWhole };
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
    for (const [stream, { sinceMs, isRequestWhole }] of this.#exchanges) {
      if (isEventStream(stream)) this.#exchanges.delete(stream);
      else if (nowMs - sinceMs > EXCHANGE_MS) stream.close(constants.NGHTTP2_CANCEL);
      else if (!isRequestWhole && nowMs - sinceMs > this.#options.requestTimeoutMs) this.#refuseLate(stream);
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

  /** Whoever was answered before his request was whole need not send the rest. */
  #refuseLate(stream: ServerHttp2Stream): void {
    if (stream.headersSent) {
      if (stream.writableFinished) stream.close();
      return;
    }
    const seconds = this.#options.requestTimeoutMs / 1000;
    const problem = `the request did not arrive whole within ${seconds} s`;
    const { status, headers, body } = this.#options.answers.refusal(
      new RequestError('request_timeout', problem),
    );
    stream.respond({ ':status': status, ...headers });
    stream.once('finish', () => stream.close());
    stream.end(body);
  }
}
