/** Hands streams whose request was read by one of Node's own servers to the opener that serves all lanes. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerResponse } from 'node:http2';
import { RequestError } from '../../core/errors.ts';
import type { ProxyTrust } from '../proxy-trust.ts';
import { partsOf } from '../request-parts.ts';
import type { OpenStream } from './open-stream.ts';
import { streamSocketOf } from './response-head.ts';

/** Takes over the socket of a request, or throws a `RequestError` before it has touched it. */
export type StreamHandler = (request: IncomingMessage, response: ServerResponse) => void;

export function createStreamHandler(
  openStream: OpenStream,
  { clientIp, retriesElsewhere }: ProxyTrust,
): StreamHandler {
  return (request, response) => {
    const { socket, url = '', headers } = request;
    // The socket still has to carry the answer to an earlier request.
    if (response.socket !== socket) {
      throw new RequestError('malformed_request', 'a stream cannot be pipelined behind another request');
    }
    const isHttp2 = request.httpVersionMajor === 2;
    openStream(isHttp2 ? streamSocketOf(response as unknown as Http2ServerResponse) : socket, {
      // [spec] RFC 9112, 3.2.2: a request target may be a whole URL.
      target: url.replace(/^https?:\/\/[^/?]*/i, ''),
      lastEventId: oneOf(headers['last-event-id']),
      origin: headers.origin,
      requestId: oneOf(headers['x-request-id']),
      clientIp: clientIp(socket, oneOf(headers['x-forwarded-for'])),
      isRetriedElsewhere: retriesElsewhere(socket, oneOf(headers['x-retry-upstream'])),
      parts: () => partsOf(request),
    });
  };
}

/** [Node] Joins header lines that occur twice, except for `Set-Cookie`, so a list is only possible by its types. */
function oneOf(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : value?.join(', ');
}
