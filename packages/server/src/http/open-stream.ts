/**
 * Wins a socket for a stream: from a request that was read, by whichever lane, to a response head and a session on
 * the bare socket. On HTTP/1.1 the body has no length and no chunks, it ends with the connection: every frame is
 * then exactly the bytes that are written.
 */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { frameStyles } from '../sse/frame.ts';
import type { Streams } from '../sse/streams.ts';
import { type CorsRules, corsHeaders } from './cors.ts';
import { httpDate } from './http-date.ts';
import { parseStreamRequest, type StreamRequest, type StreamRequestOptions } from './stream-request.ts';

export interface StreamOpenerOptions {
  readonly streams: Streams;
  readonly request: Omit<StreamRequestOptions, 'nowMs'>;
  readonly cors: CorsRules;
  readonly now: () => number;
}

/** A request for a stream as any lane hands it over. */
export interface IncomingStream {
  /** Request target: path and query as they came. */
  readonly target: string;
  readonly lastEventId: string | undefined;
  readonly origin: string | undefined;
  readonly clientIp: string;
}

export type OpenStream = (socket: Socket, incoming: IncomingStream) => void;

/** The returned function throws a `RequestError` before it has touched the socket, or takes the socket over. */
export function createStreamOpener(options: StreamOpenerOptions): OpenStream {
  return (socket, { target, lastEventId, origin, clientIp }) => {
    const request = parseStreamRequest(target, lastEventId, { ...options.request, nowMs: options.now() });
    const cors = corsHeaders(origin, options.cors);
    options.streams.open(
      socket,
      {
        userId: request.userId,
        sessionId: request.sessionId,
        channels: request.channels,
        cursor: request.lastEventId,
        start: request.start,
        styles: frameStyles(request.eventMode, request.errorEvent),
        clientIp,
      },
      (connectionId) => streamHead(request, connectionId, cors, options.now()),
    );
  };
}

export function streamHead(
  request: StreamRequest | undefined,
  connectionId: string,
  cors: Readonly<Record<string, string>>,
  nowMs: number,
): string {
  let head =
    `HTTP/1.1 200 ${STATUS_CODES[200]}\r\n` +
    'Content-Type: text/event-stream; charset=utf-8\r\n' +
    // Proxies: do not keep it, do not change it (compression would hold events back), do not gather it.
    'Cache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\n' +
    'X-Content-Type-Options: nosniff\r\n' +
    `Connection: close\r\nDate: ${httpDate(nowMs)}\r\nX-Connection-ID: ${connectionId}\r\n`;
  if (request?.userId !== undefined) head += `X-User-ID: ${encodeURIComponent(request.userId)}\r\n`;
  if (request?.service !== undefined) head += `X-Service: ${encodeURIComponent(request.service)}\r\n`;
  if (request?.taskId !== undefined) head += `X-Task-ID: ${encodeURIComponent(request.taskId)}\r\n`;
  for (const [name, value] of Object.entries(cors)) head += `${name}: ${value}\r\n`;
  return `${head}\r\n`;
}
