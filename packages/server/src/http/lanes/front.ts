/**
 * The front: a `net` server that reads the head of each connection's request itself. Streams and publishes that
 * are written in the plainest way are served here, on the bare socket, at about half of what they cost behind
 * Node's HTTP server; every other connection goes to that server, with the bytes that were read.
 *
 * What this file has to get right: nothing is served on a guess (`front-request.ts` takes only what has one
 * meaning), a connection's requests are answered one after the other, and what a peer may make us hold is bounded
 * by `maxHeaderBytes` and the size of a body, for at most `requestTimeoutMs`.
 */
import type { Server as HttpServer } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { RequestError } from '../../core/errors.ts';
import type { Answers } from '../answers.ts';
import { rawErrorResponse } from '../error-response.ts';
import type { OpenStream } from '../stream/open-stream.ts';
import { isStreamPath } from '../stream/stream-request.ts';
import { type PlainHead, parsePlainHead } from './front-request.ts';
import { plainParts } from './plain-parts.ts';
import type { CreateServer } from './tls-server.ts';

export interface FrontOptions {
  /** undefined: a plain one. */
  readonly createServer?: CreateServer | undefined;
  /** Gets every connection whose request is not served here. */
  readonly httpServer: HttpServer;
  readonly openStream: OpenStream;
  readonly publishes: PublishLane;
  readonly answers: Pick<Answers, 'refusal'>;
  /** The peer's address as the log and the limits take it. */
  readonly clientIp: (socket: Socket, forwardedFor: string | undefined) => string;
  /** Whether the peer is a proxy that takes a 503 to another node, as its header claims. */
  readonly retriesElsewhere: (socket: Socket, claim: string | undefined) => boolean;
  readonly maxHeaderBytes: number;
  /** For a whole request to arrive. */
  readonly requestTimeoutMs: number;
  /** For a connection without a request. */
  readonly keepAliveMs: number;
  readonly now: () => number;
}

/** The publishes of plain requests; `front-publish.ts` stands behind it. */
export interface PublishLane {
  /** The publish that a head begins, or `undefined` when the HTTP server has to answer it. */
  begin(head: PlainHead, socket: Socket): PlainPublish | undefined;
}

export interface PlainPublish {
  /** True if it is refused whatever its body says. Must not reject. */
  isRefused(): Promise<boolean>;
  /** The answer. A refused publish is answered without a look at its body. Must not reject. */
  answer(body: Uint8Array): Promise<PlainAnswer>;
}

export interface PlainAnswer {
  /** Status line and header lines, but for those about the connection and the empty line. */
  readonly head: string;
  readonly body: string;
}

const HEAD_END = '\r\n\r\n';
const NO_BODY = new Uint8Array();
/** The end of the head of a connection's last answer. */
const CLOSE = 'Connection: close\r\n\r\n';
const SWEEP_MS = 1000;
/** A socket says that it has drained only after it held this much: less than a page of history, not Node's 64 KB. */
const HIGH_WATER_MARK = 16 * 1024;

/** A connection that is between or within plain requests. */
class Connection {
  readonly socket: Socket;
  /** Bytes that belong to no answered request, in the pieces in which they came. */
  parts: Buffer[] = [];
  size = 0;
  /** The head whose body is being read. */
  head: PlainHead | undefined;
  publish: PlainPublish | undefined;
  /** Until the answer has gone out to the kernel. */
  isAnswering = false;
  /** The last answer is on its way; what else comes is not read. */
  isEnding = false;
  /** When the request began, or the last one was answered. */
  sinceMs: number;

  constructor(socket: Socket, nowMs: number) {
    this.socket = socket;
    this.sinceMs = nowMs;
  }

  append(chunk: Buffer): void {
    this.parts.push(chunk);
    this.size += chunk.length;
  }

  /** Everything so far in one piece. */
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
  // 'close' follows.
  this.destroy();
}

export class Front {
  readonly server: Server;
  readonly #options: FrontOptions;
  /** The end of the head of an answer after which the connection stays. */
  readonly #keepAlive: string;
  readonly #connections = new Set<Connection>();
  #sweepTimer: NodeJS.Timeout | undefined;
  #isDraining = false;
  #isClosing = false;

  constructor(options: FrontOptions) {
    this.#options = options;
    this.#keepAlive = `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(options.keepAliveMs / 1000)}\r\n\r\n`;
    // As Node's HTTP server has it: a peer that has sent its last request may still wait for the answer.
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
   * From now on every publish is answered as the last one of its connection: whoever keeps connections for later
   * has none left when the port closes, and need not find out by a request that is lost.
   */
  drain({ keepsListening }: { readonly keepsListening: boolean }): void {
    this.#isDraining = true;
    if (!keepsListening) this.server.close();
  }

  /** Accepts no more connections and lets go of those that have no request under way. */
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
    // A publisher that sends ahead waits until its first request is answered.
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
    else this.#handOver(connection);
  }

  #tryStream(connection: Connection, head: PlainHead): void {
    const mark = head.target.indexOf('?');
    if (!isStreamPath(mark < 0 ? head.target : head.target.slice(0, mark))) {
      this.#handOver(connection);
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
      // It asks for no stream in a way that can be served: the HTTP server's route finds the same and has the words for it.
      this.#giveTo(this.#options.httpServer, socket, connection.joined());
    }
  }

  #tryPublish(connection: Connection, head: PlainHead, rest: Buffer): void {
    const publish = this.#options.publishes.begin(head, connection.socket);
    if (publish === undefined) {
      this.#handOver(connection);
      return;
    }
    connection.head = head;
    connection.publish = publish;
    connection.keep(rest);
    this.#takeBody(connection, head);
    if (connection.head === head) void this.#refuseEarly(connection, head, publish);
  }

  /** A body that nobody will take is not waited for. */
  async #refuseEarly(connection: Connection, head: PlainHead, publish: PlainPublish): Promise<void> {
    if (!(await publish.isRefused())) return;
    // Meanwhile its body may have come whole, and it is answered as any.
    if (connection.head !== head || connection.isEnding) return;
    connection.isEnding = true;
    connection.parts = [];
    const answer = await publish.answer(NO_BODY);
    // Not closed at once: the peer is sending, and a reset would take the answer from it.
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
    // A peer that does not read its answers gets no more of them.
    else socket.once('drain', onDrain);
  }

  /** A publisher may close its side after its last request and still read the answer. */
  endOfInput(connection: Connection): void {
    if (connection.isAnswering || connection.isEnding) return;
    if (isIdle(connection)) connection.socket.end();
    else
      this.#refuse(
        connection,
        new RequestError('malformed_request', 'the connection ended within a request'),
      );
  }

  /** The answer is out: what the peer has sent ahead is next. */
  goOn(connection: Connection): void {
    const { socket } = connection;
    connection.isAnswering = false;
    if (socket.isPaused()) socket.resume();
    this.#advance(connection);
    // Its side is closed, and what is left is no whole request.
    if (socket.readableEnded && this.#connections.has(connection)) this.endOfInput(connection);
  }

  #refuse(connection: Connection, error: RequestError): void {
    connection.isEnding = true;
    connection.socket.end(rawErrorResponse(this.#options.answers.refusal(error)));
    connection.socket.destroySoon();
  }

  #handOver(connection: Connection): void {
    if (connection.socket.readableEnded) {
      // Nobody can read on from a socket whose end was read.
      const problem = 'a request of this form must not be sent ahead of the end of its connection';
      this.#refuse(connection, new RequestError('malformed_request', problem));
      return;
    }
    this.#release(connection);
    this.#giveTo(this.#options.httpServer, connection.socket, connection.joined());
  }

  /** The socket is somebody else's from here on. */
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
        // In silence: a word now could be taken for the answer to a request that is on its way.
        socket.destroySoon();
        continue;
      }
      const seconds = this.#options.requestTimeoutMs / 1000;
      this.#refuse(
        connection,
        new RequestError('request_timeout', `the request did not arrive whole within ${seconds} s`),
      );
    }
  }
}

/** No request is under way. */
function isIdle({ isAnswering, isEnding, size, head }: Connection): boolean {
  return !isAnswering && !isEnding && size === 0 && head === undefined;
}

/** False for what is certainly no plain request, so that a wrong protocol or a bare LF is not waited for. */
function maybePlain(buffered: Buffer): boolean {
  const lineEnd = buffered.indexOf(0x0a);
  if (lineEnd >= 0 && buffered[lineEnd - 1] !== 0x0d) return false;
  const start = buffered.toString('latin1', 0, 5);
  return 'GET /'.startsWith(start) || 'POST '.startsWith(start);
}
