/** Answers what Node's HTTP parser rejects before there is a request. The answer is written to the bare socket. */
import type { Socket } from 'node:net';
import type { Answers } from '../answers.ts';
import { rawErrorResponse } from '../error-response.ts';
import { requestErrorOfParser } from '../request-error-of.ts';

export function answerClientError(error: Error & { code?: string }, socket: Socket, answers: Answers): void {
  // [Node] After a reset nobody reads an answer.
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy(error);
    return;
  }
  socket.end(rawErrorResponse(answers.refusal(requestErrorOfParser(error))));
}
