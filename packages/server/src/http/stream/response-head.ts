/** What a session writes to on HTTP/2, and the beginning of a response on either version of HTTP. */
import type { Http2ServerResponse, ServerHttp2Stream } from 'node:http2';
import type { StreamSocket } from '../../sse/wire/stream-socket.ts';
import { type ErrorResponse, headerLines, rawErrorResponse, statusLine } from '../error-response.ts';

type Http2StreamSocket = ServerHttp2Stream & StreamSocket & { readonly isShared: true };

/** The stream of the response, with what a session needs of a socket added to it. */
export function streamSocketOf({ stream }: Http2ServerResponse): StreamSocket {
  return Object.assign(stream, {
    isShared: true as const,
    destroySoon: endAndClose,
    // [Node] Without it every write gets a callback of its own, so it is known how far a slow peer has read.
    _writev: undefined as never,
  });
}

function endAndClose(this: ServerHttp2Stream): void {
  if (this.writableFinished) this.close();
  else {
    // [spec] RFC 9113, 8.1: a client whose request has not ended need not send the rest.
    this.once('finish', () => this.close());
    if (!this.writableEnded) this.end();
  }
}

/**
 * The bytes of a response before its body. HTTP/2 has a frame for them, which is sent at once; what is returned is
 * then empty.
 */
export function responseHead(
  socket: StreamSocket,
  status: number,
  headers: Readonly<Record<string, string>>,
): string {
  if (isHttp2(socket)) {
    // The peer may have reset the stream meanwhile; the session is about to be told.
    if (!socket.closed && !socket.destroyed) socket.respond({ ':status': status, ...headers });
    return '';
  }
  return `${statusLine(status)}Connection: close\r\n${headerLines(headers)}\r\n`;
}

/** Writes the whole answer that refuses a stream and ends the socket. */
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
  // 'close' follows, and there is nothing to clean up.
}

/** True if a session owns the stream. */
export function isEventStream(stream: ServerHttp2Stream): boolean {
  return (stream as Partial<Http2StreamSocket>).isShared === true;
}

function isHttp2(socket: StreamSocket): socket is Http2StreamSocket {
  return socket.isShared === true;
}
