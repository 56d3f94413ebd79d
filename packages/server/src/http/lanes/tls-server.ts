/**
 * The server that speaks TLS: what it offers, what it refuses to speak, and what it says to a client that does not
 * speak TLS at all. Connections come out of it with their protocol chosen and nothing of it read.
 */
import { constants } from 'node:crypto';
import type { Server, ServerOpts, Socket } from 'node:net';
import { createServer, type SecureContextOptions, type TLSSocket, type Server as TlsServer } from 'node:tls';

/** A certificate with its key, held against each other. */
export interface TlsIdentity {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
  /** Authorities of client certificates; undefined: clients are not asked for one. */
  readonly ca: string | undefined;
  readonly expiresAtMs: number;
}

/** Makes the server of the front: one of `node:net`, or one that comes from it. */
export type CreateServer = (options: ServerOpts, onConnection: (socket: Socket) => void) => Server;

export interface TlsServerOptions {
  readonly files: TlsIdentity;
  readonly handshakeTimeoutMs: number;
  readonly onHttp1: (socket: Socket) => void;
  readonly onHttp2: (socket: TLSSocket) => void;
  /** The whole answer to a request in plain HTTP. */
  readonly plainRefusal: () => string;
  readonly onHandshakeFailed: (error: Error & { code?: string }, address: string | undefined) => void;
}

/** Forward secrecy and authenticated encryption only; [spec] RFC 9113, 9.2.2 forbids HTTP/2 most of the others. */
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

/** For `setSecureContext` too, which forgets what it is not told again. */
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
  const { files, onHttp1, onHttp2, plainRefusal, onHandshakeFailed } = options;
  const server = createServer({
    ...socketOptions,
    ...secureContextOptions(files),
    // A client that names neither is refused in the handshake; one that names none speaks HTTP/1.1.
    ALPNProtocols: ['h2', 'http/1.1'],
    handshakeTimeout: options.handshakeTimeoutMs,
    requestCert: files.ca !== undefined,
    rejectUnauthorized: files.ca !== undefined,
  });
  server.on('secureConnection', (socket) => {
    if (socket.alpnProtocol === 'h2') onHttp2(socket);
    else onHttp1(socket);
  });
  server.on('tlsClientError', (error: Error & { code?: string }, socket) => {
    onHandshakeFailed(error, socket.remoteAddress);
    // [Node] The connection below is still open then, and closed at once where nothing is done with it.
    const { _parent: below } = socket as unknown as { _parent?: Socket | null };
    if (error.code === 'ERR_SSL_HTTP_REQUEST' && below?.writable === true) {
      below.end(plainRefusal());
      below.destroySoon();
    } else below?.destroy();
  });
  return server;
}
