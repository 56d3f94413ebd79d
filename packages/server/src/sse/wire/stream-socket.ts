/**
 * The socket of a stream: a TCP or TLS socket that it has for itself, or one of the streams that share an HTTP/2
 * connection. Both are Node's own objects. Sessions know no other difference than the ones named here.
 */
import type { Duplex } from 'node:stream';

export interface StreamSocket extends Duplex {
  /** Ends the socket once everything is sent, whether or not the peer ends its side. */
  destroySoon(): void;
  /** True when several share a connection. The peer's end is then the end of its request, and not a farewell. */
  readonly isShared?: boolean;
}
