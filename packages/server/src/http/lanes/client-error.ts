/** Answers what Node's HTTP parser rejects, before there is a request: on the bare socket, in the same words. */
import type { Socket } from 'node:net';
import { requestErrorOfParser } from '../api/request-error-of.ts';
import { errorResponse, rawErrorResponse } from '../error-response.ts';

export function answerClientError(
  error: Error & { code?: string },
  socket: Socket,
  serviceName: string,
  headers: Readonly<Record<string, string>>,
): void {
  // [Node] A reset connection has nobody to read an answer.
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy(error);
    return;
  }
  const response = errorResponse(requestErrorOfParser(error), null, serviceName);
  socket.end(rawErrorResponse(response, headers));
}
