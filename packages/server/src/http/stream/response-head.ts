/** A stream of an HTTP/2 connection as a session writes to it, and what a response begins with on either protocol. */
import type { Http2ServerResponse, ServerHttp2Stream } from 'node:http2';
import type { StreamSocket } from '../../sse/wire/stream-socket.ts';
import { type ErrorResponse, headerLines, rawErrorResponse, statusLine } from '../error-response.ts';

type Http2StreamSocket = ServerHttp2Stream & StreamSocket & { readonly isShared: true };

/** The stream itself, with what a socket can do besides. */
export function streamSocketOf({ stream }: Http2ServerResponse): StreamSocket {
  return Object.assign(stream, {
    isShared: true as const,
    destroySoon: endAndClose,
    // [Node] Written one by one, what a slow peer has read is known by the write and not by all that waits together.
    _writev: undefined as never,
  });
}

function endAndClose(this: ServerHttp2Stream): void {
  if (this.writableFinished) this.close();
  else {
    // [spec] RFC 9113, 8.1: a peer whose request has not ended need not send the rest.
    this.once('finish', () => this.close());
    if (!this.writableEnded) this.end();
  }
}

/**
 * The beginning of a response: what goes out before the first bytes of its body. HTTP/2 has frames of its own for it,
 * which leave at once. `headers` are those of both protocols.
 */
export function responseHead(
  socket: StreamSocket,
  status: number,
  headers: Readonly<Record<string, string>>,
): string {
  if (isHttp2(socket)) {
    // Its peer may have reset it meanwhile, of which the session is about to hear.
    if (!socket.closed && !socket.destroyed) socket.respond({ ':status': status, ...headers });
    return '';
  }
  return `${statusLine(status)}Connection: close\r\n${headerLines(headers)}\r\n`;
}

/** Writes the whole answer that refuses a stream, and ends the socket. */
export function endWithAnswer(socket: StreamSocket, answer: ErrorResponse): void {
  socket.on('error', ignore);
  if (isHttp2(socket)) {
    responseHead(socket, answer.status, answer.headers);
    socket.end(answer.body);
  } else socket.end(rawErrorResponse(answer));
  socket.destroySoon();
  socket.resume();
}

function ignore(): void {
  // 'close' follows, and nothing is kept for it.
}

/** Whether it is a session's by now. */
export function isEventStream(stream: ServerHttp2Stream): boolean {
  return (stream as Partial<Http2StreamSocket>).isShared === true;
}

function isHttp2(socket: StreamSocket): socket is Http2StreamSocket {
  return socket.isShared === true;
}
