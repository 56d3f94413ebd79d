/** TLS: certificates that are renewed in place, and HTTP/2 beside HTTP/1.1 on one port. */
import type { Server } from 'node:net';
import type { Server as TlsServer } from 'node:tls';
import type { Log } from '../../observe/log/log.ts';
import { Certificates } from './certificates.ts';
import { Http2Lane, type Http2LaneOptions } from './http2-lane.ts';
import { type CreateServer, createTlsServer, secureContextOptions, type TlsIdentity } from './tls-server.ts';

export interface TlsLaneOptions extends Http2LaneOptions {
  /** The files that `readIdentity` reads: the certificate, its key and the authorities of clients. */
  readonly paths: readonly string[];
  /** Throws an error meant for the operator. */
  readonly readIdentity: () => TlsIdentity;
  /** The whole answer to a request in plain HTTP on this port. */
  readonly plainRefusal: () => string;
  /** Called with the certificate that is presented from now on. */
  readonly onCertificate: (identity: TlsIdentity) => void;
  readonly log: Pick<Log, 'debug' | 'info' | 'warn' | 'error'>;
}

export class TlsLane {
  readonly #options: TlsLaneOptions;
  readonly #certificates: Certificates;
  readonly #http2: Http2Lane;
  #server: TlsServer | undefined;

  /** Throws an error meant for the operator. */
  constructor(options: TlsLaneOptions) {
    const { log, now, onCertificate, paths, readIdentity } = options;
    this.#options = options;
    this.#http2 = new Http2Lane(options);
    this.#certificates = new Certificates({
      paths,
      read: readIdentity,
      now,
      onRenewed: (identity) => {
        this.#server?.setSecureContext(secureContextOptions(identity));
        onCertificate(identity);
        log.info({ expiresAt: new Date(identity.expiresAtMs).toISOString() }, 'the certificate was renewed');
      },
      onRefused: (error) =>
        log.error(`the changed certificate is not used; the previous one stays in use: ${error.message}`),
      onExpiring: (expiresAtMs) => {
        const expiresAt = new Date(expiresAtMs).toISOString();
        if (expiresAtMs <= now()) log.error({ expiresAt }, 'the certificate has expired');
        else log.warn({ expiresAt }, 'the certificate expires soon');
      },
    });
    onCertificate(this.#certificates.identity);
  }

  readonly createServer: CreateServer = (socketOptions, onHttp1): Server => {
    const { log, plainRefusal, requestTimeoutMs } = this.#options;
    this.#server = createTlsServer(socketOptions, {
      identity: this.#certificates.identity,
      handshakeTimeoutMs: requestTimeoutMs,
      onHttp1,
      onHttp2: (socket) => this.#http2.take(socket),
      plainRefusal,
      onHandshakeFailed: ({ code, message }, address) =>
        log.debug({ address, code, problem: message }, 'a TLS handshake failed'),
    });
    return this.#server;
  };

  start(): void {
    this.#certificates.start();
    this.#http2.start();
  }

  /** Call it when the streams have been told to reconnect. */
  async close(timeoutMs: number): Promise<void> {
    this.#certificates.close();
    await this.#http2.close(timeoutMs);
  }
}
