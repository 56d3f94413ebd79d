/**
 * What a stream is written to: a socket that it has for itself, or one of the streams that share an HTTP/2
 * connection. Both are Node's own objects; a session knows no other difference than what is named here.
 */
import type { Duplex } from 'node:stream';

export interface StreamSocket extends Duplex {
  /** Ends it once everything is sent, whether or not the peer ends its side. */
  destroySoon(): void;
  /** One of several on a connection: the end of what the peer sends is the end of its request and not a farewell. */
  readonly isShared?: boolean;
}
