/**
 * The TLS server: which versions and ciphers it offers, and how it answers a client that does not speak TLS at all.
 * Its connections have chosen their protocol, and nothing of their requests was read.
 */
import { constants } from 'node:crypto';
import type { Server, ServerOpts, Socket } from 'node:net';
import { createServer, type SecureContextOptions, type TLSSocket, type Server as TlsServer } from 'node:tls';

/** A certificate and its key, which match, and the authorities of client certificates. */
export interface TlsIdentity {
  /** PEM, as are the others. */
  readonly cert: string;
  readonly key: string;
  /** Absent when clients are not asked for a certificate. */
  readonly ca: string | undefined;
  readonly expiresAtMs: number;
}

/** Makes the server of the front, like `createServer` of `node:net`. */
export type CreateServer = (options: ServerOpts, onConnection: (socket: Socket) => void) => Server;

export interface TlsServerOptions {
  readonly identity: TlsIdentity;
  readonly handshakeTimeoutMs: number;
  readonly onHttp1: (socket: Socket) => void;
  readonly onHttp2: (socket: TLSSocket) => void;
  /** The whole answer to a request in plain HTTP. */
  readonly plainRefusal: () => string;
  readonly onHandshakeFailed: (error: Error & { code?: string }, address: string | undefined) => void;
}

/** Ciphers with forward secrecy and authenticated encryption. [spec] RFC 9113, 9.2.2 forbids HTTP/2 most others. */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

/** All options of a secure context. `setSecureContext` needs them too: it resets those that it is not given. */
export function secureContextOptions({ cert, key, ca }: TlsIdentity): SecureContextOptions {
  return {
    cert,
    key,
    ...(ca !== undefined && { ca }),
    ciphers: CIPHERS,
    minVersion: 'TLSv1.2',
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  };
}

export function createTlsServer(socketOptions: ServerOpts, options: TlsServerOptions): TlsServer {
  const { identity, onHttp1, onHttp2, plainRefusal, onHandshakeFailed } = options;
  const server = createServer({
    ...socketOptions,
    ...secureContextOptions(identity),
    // A client that offers only other protocols fails the handshake; one that offers none speaks HTTP/1.1.
    ALPNProtocols: ['h2', 'http/1.1'],
    handshakeTimeout: options.handshakeTimeoutMs,
    requestCert: identity.ca !== undefined,
    rejectUnauthorized: identity.ca !== undefined,
  });
  server.on('secureConnection', (socket) => {
    if (socket.alpnProtocol === 'h2') onHttp2(socket);
    else onHttp1(socket);
  });
  server.on('tlsClientError', (error: Error & { code?: string }, socket) => {
    onHandshakeFailed(error, socket.remoteAddress);
    // [Node] The connection below TLS is still open here.
    const { _parent: below } = socket as unknown as { _parent?: Socket | null };
    if (error.code === 'ERR_SSL_HTTP_REQUEST' && below?.writable === true) {
      below.end(plainRefusal());
      below.destroySoon();
    } else below?.destroy();
  });
  return server;
}
