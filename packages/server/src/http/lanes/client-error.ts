/** Answers what Node's HTTP parser rejects, a head or a body. The answer is written to the bare socket. */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type Answers, answeredRequestOf } from '../answers.ts';
import { rawErrorResponse } from '../error-response.ts';
import { requestErrorOfParser } from '../request-error-of.ts';

export function answerClientError(error: Error & { code?: string }, socket: Socket, answers: Answers): void {
  // [Node] After a reset nobody reads an answer.
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy(error);
    return;
  }
  // [Node] Undocumented: the response in progress. Its request is the rejected one if its body was still arriving.
  const request = (socket as Socket & { _httpMessage?: ServerResponse | null })._httpMessage?.req;
  const answered = request === undefined || request.complete ? undefined : answeredRequestOf(request);
  socket.end(rawErrorResponse(answers.refusal(requestErrorOfParser(error), answered)));
}
