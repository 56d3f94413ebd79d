/**
 * Node's own HTTP server, for every request that the front does not take. It does not listen: the front hands
 * connections to it.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { RequestError } from '../../core/errors.ts';
import { type Answers, answeredRequestOf } from '../answers.ts';

export interface NodeServerOptions {
  readonly maxHeaderBytes: number;
  /** Time within which a whole request must arrive. */
  readonly requestTimeoutMs: number;
  /** Time after which a connection without a request is closed. */
  readonly keepAliveMs: number;
}

export type RequestHandler = (request: IncomingMessage, response: ServerResponse) => void;

/** How often Node looks for requests that are late. */
const CHECK_MS = 1000;

export function createNodeServer(
  handler: RequestHandler,
  answers: Answers,
  options: NodeServerOptions,
): Server {
  const { maxHeaderBytes, requestTimeoutMs, keepAliveMs } = options;
  const server = createServer(
    {
      maxHeaderSize: maxHeaderBytes,
      requestTimeout: requestTimeoutMs,
      headersTimeout: requestTimeoutMs,
      connectionsCheckingInterval: CHECK_MS,
      keepAliveTimeout: keepAliveMs,
      noDelay: true,
      requireHostHeader: false,
    },
    handler,
  );
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) =>
    refuseExpectation(request, response, answers),
  );
  // A peer may close its side after its last request and still read the answer.
  return Object.assign(server, { httpAllowHalfOpen: true });
}

/** The request and the response of either version of HTTP, as far as they are alike. */
type RefusedRequest = Pick<IncomingMessage, 'headers' | 'method' | 'url' | 'httpVersionMajor'>;
interface RefusedResponse {
  writeHead(status: number, headers: Record<string, string>): unknown;
  end(body: string): unknown;
}

/** Answers a request that expects something other than `100-continue`. */
export function refuseExpectation(
  request: RefusedRequest,
  response: RefusedResponse,
  answers: Answers,
): void {
  const error = new RequestError(
    'expectation_failed',
    'the only expectation that is supported is 100-continue',
  );
  const answer = answers.refusal(error, answeredRequestOf(request));
  // A body may follow, which nobody reads. [spec] RFC 9113, 8.2.2: HTTP/2 has no such header.
  const more = request.httpVersionMajor === 1 ? { connection: 'close' } : {};
  const length = String(Buffer.byteLength(answer.body));
  response.writeHead(answer.status, { ...answer.headers, 'content-length': length, ...more });
  response.end(answer.body);
}
