/**
 * The front: a `net` server that reads the head of each request itself. Streams and publishes that are written in the
 * plainest way are served here, on the bare socket, at about half of their cost behind Node's HTTP server. Every other
 * connection is handed to that server, with the bytes that were read.
 *
 * What this file has to get right: nothing is served on a guess (`front-request.ts` takes only what has one meaning);
 * the requests of a connection are answered one after the other; and what a peer can make the process hold is bounded
 * by `maxHeaderBytes` and the size of a body, for at most `requestTimeoutMs`.
 */
import type { Server as HttpServer } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { RequestError } from '../../core/errors.ts';
import { type AnsweredRequest, type Answers, answeredRequestOf } from '../answers.ts';
import { rawErrorResponse } from '../error-response.ts';
import type { OpenStream } from '../stream/open-stream.ts';
import { isStreamPath } from '../stream/stream-request.ts';
import { type PlainHead, parsePlainHead } from './front-request.ts';
import { plainParts } from './plain-parts.ts';
import type { CreateServer } from './tls-server.ts';

export interface FrontOptions {
  /** Absent without TLS. */
  readonly createServer?: CreateServer | undefined;
  /** Takes over every connection whose request is not served here. */
  readonly httpServer: HttpServer;
  readonly openStream: OpenStream;
  readonly publishes: PublishLane;
  readonly answers: Pick<Answers, 'refusal'>;
  /** The client's address for the log and the limits. */
  readonly clientIp: (socket: Socket, forwardedFor: string | undefined) => string;
  /** True if the peer is a trusted proxy that retries a 503 on another node; `claim` is its header. */
  readonly retriesElsewhere: (socket: Socket, claim: string | undefined) => boolean;
  readonly maxHeaderBytes: number;
  /** Time within which a whole request must arrive. */
  readonly requestTimeoutMs: number;
  /** Time after which a connection without a request is closed. */
  readonly keepAliveMs: number;
  readonly now: () => number;
}

/** The port to `front-publish.ts`, which answers the publishes of plain requests. */
export interface PublishLane {
  /** The publish that a head begins, or `undefined` if the HTTP server has to answer it. */
  begin(head: PlainHead, socket: Socket): PlainPublish | undefined;
}

export interface PlainPublish {
  /** True if the publish is refused whatever its body says. Must not reject. */
  isRefused(): Promise<boolean>;
  /** Resolves with the answer. The body of a refused publish is not looked at. Must not reject. */
  answer(body: Uint8Array): Promise<PlainAnswer>;
}

export interface PlainAnswer {
  /** Status line and header lines, except those about the connection and the final empty line. */
  readonly head: string;
  readonly body: string;
}

const HEAD_END = '\r\n\r\n';
const NO_BODY = new Uint8Array();
/** The end of the head of the last answer on a connection. */
const CLOSE = 'Connection: close\r\n\r\n';
const SWEEP_MS = 1000;
/** A socket reports backpressure above this: less than a page of history, instead of Node's 64 KB. */
const HIGH_WATER_MARK = 16 * 1024;

/** A connection between requests, or within a plain one. */
class Connection {
  readonly socket: Socket;
  /** Bytes that belong to no answered request yet, in the pieces in which they arrived. */
  parts: Buffer[] = [];
  size = 0;
  /** The head whose body is being read. */
  head: PlainHead | undefined;
  publish: PlainPublish | undefined;
  /** True until the kernel has taken the answer. */
  isAnswering = false;
  /** True once the last answer was written; whatever else arrives is ignored. */
  isEnding = false;
  /** When the current request began, or when the last one was answered. */
  sinceMs: number;

  constructor(socket: Socket, nowMs: number) {
    this.socket = socket;
    this.sinceMs = nowMs;
  }

  append(chunk: Buffer): void {
    this.parts.push(chunk);
    this.size += chunk.length;
  }

  /** Everything received so far in one piece. */
  joined(): Buffer {
    if (this.parts.length !== 1) this.parts = [Buffer.concat(this.parts)];
    return this.parts[0] as Buffer;
  }

  keep(rest: Buffer): void {
    this.parts = rest.length === 0 ? [] : [rest];
    this.size = rest.length;
  }
}

const kConnection = Symbol('connection');
const kFront = Symbol('front');
type FrontSocket = Socket & { [kConnection]?: Connection | undefined; [kFront]?: Front };

function onData(this: FrontSocket, chunk: Buffer): void {
  const connection = this[kConnection];
  if (connection !== undefined) this[kFront]?.receive(connection, chunk);
}
function onEnd(this: FrontSocket): void {
  const connection = this[kConnection];
  if (connection !== undefined) this[kFront]?.endOfInput(connection);
}
function onDrain(this: FrontSocket): void {
  const connection = this[kConnection];
  if (connection !== undefined) this[kFront]?.goOn(connection);
}
function onClose(this: FrontSocket): void {
  const connection = this[kConnection];
  if (connection !== undefined) this[kFront]?.forget(connection);
}
function onError(this: FrontSocket): void {
  // 'close' follows and does the rest.
  this.destroy();
}

export class Front {
  readonly server: Server;
  readonly #options: FrontOptions;
  /** The end of the head of an answer after which the connection stays open. */
  readonly #keepAlive: string;
  readonly #connections = new Set<Connection>();
  #sweepTimer: NodeJS.Timeout | undefined;
  #isDraining = false;
  #isClosing = false;

  constructor(options: FrontOptions) {
    this.#options = options;
    this.#keepAlive = `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(options.keepAliveMs / 1000)}\r\n\r\n`;
    // As in Node's HTTP server: a peer that has closed its side may still wait for the answer.
    const serverOptions = {
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      highWaterMark: HIGH_WATER_MARK,
    };
    const create: CreateServer = options.createServer ?? createServer;
    this.server = create(serverOptions, (socket) => this.#accept(socket));
  }

  start(): void {
    this.#sweepTimer = setInterval(() => this.#sweep(), SWEEP_MS);
    this.#sweepTimer.unref();
  }

  /**
   * Answers every publish as the last one of its connection from now on. Clients with a pool of connections then have
   * none left when the port closes, and lose no request to a connection that is gone.
   */
  drain({ keepsListening }: { readonly keepsListening: boolean }): void {
    this.#isDraining = true;
    if (!keepsListening) this.server.close();
  }

  /** Accepts no more connections and closes those without a request in progress. */
  close(): void {
    this.#isClosing = true;
    clearInterval(this.#sweepTimer);
    this.server.close();
    for (const connection of this.#connections) {
      if (isIdle(connection)) connection.socket.end();
    }
  }

  #accept(socket: FrontSocket): void {
    const connection = new Connection(socket, this.#options.now());
    socket[kConnection] = connection;
    socket[kFront] = this;
    this.#connections.add(connection);
    socket.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onError);
  }

  forget(connection: Connection): void {
    this.#connections.delete(connection);
  }

  receive(connection: Connection, chunk: Buffer): void {
    if (connection.isEnding) return;
    if (connection.size === 0 && connection.head === undefined) connection.sinceMs = this.#options.now();
    connection.append(chunk);
    if (!connection.isAnswering) this.#advance(connection);
    // Pipelined requests wait until the one before is answered.
    else connection.socket.pause();
  }

  #advance(connection: Connection): void {
    if (connection.size === 0) return;
    if (connection.head !== undefined) {
      this.#takeBody(connection, connection.head);
      return;
    }
    const buffered = connection.joined();
    const end = buffered.indexOf(HEAD_END);
    if (end < 0 || end > this.#options.maxHeaderBytes) {
      const isPlainSoFar = end < 0 && buffered.length <= this.#options.maxHeaderBytes && maybePlain(buffered);
      if (!isPlainSoFar) this.#handOver(connection);
      return;
    }
    const head = parsePlainHead(buffered.toString('latin1', 0, end));
    const rest = buffered.subarray(end + HEAD_END.length);
    if (head?.method === 'GET' && rest.length === 0) this.#tryStream(connection, head);
    else if (head?.method === 'POST') this.#tryPublish(connection, head, rest);
    else this.#handOver(connection, head);
  }

  #tryStream(connection: Connection, head: PlainHead): void {
    const mark = head.target.indexOf('?');
    if (!isStreamPath(mark < 0 ? head.target : head.target.slice(0, mark))) {
      this.#handOver(connection, head);
      return;
    }
    const { socket } = connection;
    const { headers } = head;
    this.#release(connection);
    try {
      this.#options.openStream(socket, {
        target: head.target,
        lastEventId: headers.get('last-event-id'),
        origin: headers.get('origin'),
        requestId: headers.get('x-request-id'),
        clientIp: this.#options.clientIp(socket, headers.get('x-forwarded-for')),
        isRetriedElsewhere: this.#options.retriesElsewhere(socket, headers.get('x-retry-upstream')),
        parts: () => plainParts(head),
      });
    } catch {
      // No stream can be opened for this URL. The route of the HTTP server comes to the same result and answers it.
      this.#giveTo(this.#options.httpServer, socket, connection.joined());
    }
  }

  #tryPublish(connection: Connection, head: PlainHead, rest: Buffer): void {
    const publish = this.#options.publishes.begin(head, connection.socket);
    if (publish === undefined) {
      this.#handOver(connection, head);
      return;
    }
    connection.head = head;
    connection.publish = publish;
    connection.keep(rest);
    this.#takeBody(connection, head);
    if (connection.head === head) void this.#refuseEarly(connection, head, publish);
  }

  /** A refusal does not wait for the body. */
  async #refuseEarly(connection: Connection, head: PlainHead, publish: PlainPublish): Promise<void> {
    if (!(await publish.isRefused())) return;
    // Meanwhile the body may have arrived, and the publish is answered like any other.
    if (connection.head !== head || connection.isEnding) return;
    connection.isEnding = true;
    connection.parts = [];
    const answer = await publish.answer(NO_BODY);
    // Not destroyed: the peer is still sending, and a reset would make it lose the answer.
    connection.socket.end(answer.head + CLOSE + answer.body);
  }

  #takeBody(connection: Connection, head: PlainHead): void {
    if (connection.size < head.contentLength) return;
    const buffered = connection.joined();
    const body = buffered.subarray(0, head.contentLength);
    connection.keep(buffered.subarray(head.contentLength));
    connection.head = undefined;
    connection.isAnswering = true;
    void (connection.publish as PlainPublish)
      .answer(body)
      .then((answer) =>
        this.#answer(connection, answer, head.headers.get('connection')?.toLowerCase() === 'close'),
      );
  }

  #answer(connection: Connection, { head, body }: PlainAnswer, isAskedToEnd: boolean): void {
    const { socket } = connection;
    connection.sinceMs = this.#options.now();
    if (socket.destroyed) return;
    const isLastSent = connection.size === 0 && (this.#isDraining || socket.readableEnded);
    if (isAskedToEnd || this.#isClosing || isLastSent) {
      connection.isAnswering = false;
      connection.isEnding = true;
      socket.end(head + CLOSE + body);
      if (socket.isPaused()) socket.resume();
      return;
    }
    if (socket.write(head + this.#keepAlive + body)) this.goOn(connection);
    // A peer that does not read its answers gets no further ones.
    else socket.once('drain', onDrain);
  }

  /** A publisher may close its side after its last request and still read the answer. */
  endOfInput(connection: Connection): void {
    if (connection.isAnswering || connection.isEnding) return;
    if (isIdle(connection)) connection.socket.end();
    else
      this.#refuse(
        connection,
        new RequestError('malformed_request', 'the connection ended in the middle of a request'),
      );
  }

  /** Called when the answer was written: goes on with what the peer has pipelined. */
  goOn(connection: Connection): void {
    const { socket } = connection;
    connection.isAnswering = false;
    if (socket.isPaused()) socket.resume();
    this.#advance(connection);
    // The peer has closed its side, and what is left is not a whole request.
    if (socket.readableEnded && this.#connections.has(connection)) this.endOfInput(connection);
  }

  /** `head` is that of the refused request, if it was read. */
  #refuse(connection: Connection, error: RequestError, head: PlainHead | undefined = connection.head): void {
    connection.isEnding = true;
    const request = head === undefined ? undefined : requestOf(head);
    connection.socket.end(rawErrorResponse(this.#options.answers.refusal(error, request)));
    connection.socket.destroySoon();
  }

  #handOver(connection: Connection, head?: PlainHead): void {
    if (connection.socket.readableEnded) {
      // The HTTP server cannot read on from a socket whose end was read.
      const problem = 'the connection must not be half-closed right after a request of this kind';
      this.#refuse(connection, new RequestError('malformed_request', problem), head);
      return;
    }
    this.#release(connection);
    this.#giveTo(this.#options.httpServer, connection.socket, connection.joined());
  }

  /** Gives the socket up: from here on somebody else owns it. */
  #release(connection: Connection): void {
    const socket = connection.socket as FrontSocket;
    this.#connections.delete(connection);
    socket[kConnection] = undefined;
    socket.removeListener('data', onData).removeListener('end', onEnd);
    socket.removeListener('close', onClose).removeListener('error', onError);
  }

  #giveTo(server: HttpServer, socket: Socket, buffered: Buffer): void {
    socket.pause();
    server.emit('connection', socket);
    if (buffered.length > 0) socket.unshift(buffered);
    process.nextTick(() => socket.resume());
  }

  #sweep(): void {
    const nowMs = this.#options.now();
    for (const connection of this.#connections) {
      const { socket, isAnswering, isEnding } = connection;
      if (isAnswering && !socket.writableNeedDrain) continue;
      const isWaiting = isIdle(connection);
      const limitMs = isWaiting ? this.#options.keepAliveMs : this.#options.requestTimeoutMs;
      if (nowMs - connection.sinceMs <= limitMs) continue;
      if (isAnswering || isEnding) {
        socket.destroy();
        continue;
      }
      if (isWaiting) {
        // Without an answer: the peer could take it for the answer to a request that it is just sending.
        socket.destroySoon();
        continue;
      }
      const seconds = this.#options.requestTimeoutMs / 1000;
      this.#refuse(
        connection,
        new RequestError('request_timeout', `the whole request did not arrive within ${seconds} s`),
      );
    }
  }
}

function requestOf({ method, target, headers }: PlainHead): AnsweredRequest {
  return answeredRequestOf({ method, url: target, headers: Object.fromEntries(headers) });
}

/** True if no request is in progress. */
function isIdle({ isAnswering, isEnding, size, head }: Connection): boolean {
  return !isAnswering && !isEnding && size === 0 && head === undefined;
}

/** False for what cannot become a plain request: another protocol or a bare LF is handed over at once. */
function maybePlain(buffered: Buffer): boolean {
  const lineEnd = buffered.indexOf(0x0a);
  if (lineEnd >= 0 && buffered[lineEnd - 1] !== 0x0d) return false;
  const start = buffered.toString('latin1', 0, 5);
  return 'GET /'.startsWith(start) || 'POST '.startsWith(start);
}
