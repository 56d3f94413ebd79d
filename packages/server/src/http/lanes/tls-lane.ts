/** TLS in front of the front: certificates that are renewed in place, and HTTP/2 beside HTTP/1.1 on one port. */
import type { Server } from 'node:net';
import type { Server as TlsServer } from 'node:tls';
import type { Log } from '../../observe/log/log.ts';
import { Certificates } from './certificates.ts';
import { Http2Lane, type Http2LaneOptions } from './http2-lane.ts';
import { type CreateServer, createTlsServer, secureContextOptions, type TlsIdentity } from './tls-server.ts';

export interface TlsLaneOptions extends Http2LaneOptions {
  /** Of the certificate, its key and what else `readFiles` reads. */
  readonly paths: readonly string[];
  /** Throws an Error for the operator. */
  readonly readFiles: () => TlsIdentity;
  /** The whole answer to a request in plain HTTP. */
  readonly plainRefusal: () => string;
  /** The certificate that is shown from now on. */
  readonly onCertificate: (files: TlsIdentity) => void;
  readonly log: Pick<Log, 'debug' | 'info' | 'warn' | 'error'>;
}

export class TlsLane {
  readonly #options: TlsLaneOptions;
  readonly #certificates: Certificates;
  readonly #http2: Http2Lane;
  #server: TlsServer | undefined;

  /** Throws an Error for the operator. */
  constructor(options: TlsLaneOptions) {
    const { log, now, onCertificate, paths, readFiles } = options;
    this.#options = options;
    this.#http2 = new Http2Lane(options);
    this.#certificates = new Certificates({
      paths,
      read: readFiles,
      now,
      onRenewed: (files) => {
        this.#server?.setSecureContext(secureContextOptions(files));
        onCertificate(files);
        log.info({ expiresAt: new Date(files.expiresAtMs).toISOString() }, 'the certificate was renewed');
      },
      onRefused: (error) =>
        log.error(`the changed certificate is not used, the one before it still is: ${error.message}`),
      onExpiring: (expiresAtMs) => {
        const expiresAt = new Date(expiresAtMs).toISOString();
        if (expiresAtMs <= now()) log.error({ expiresAt }, 'the certificate has expired');
        else log.warn({ expiresAt }, 'the certificate expires soon');
      },
    });
    onCertificate(this.#certificates.files);
  }

  readonly createServer: CreateServer = (socketOptions, onHttp1): Server => {
    const { log, plainRefusal, requestTimeoutMs } = this.#options;
    this.#server = createTlsServer(socketOptions, {
      files: this.#certificates.files,
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

  /** After the streams have heard their farewell. */
  async close(timeoutMs: number): Promise<void> {
    this.#certificates.close();
    await this.#http2.close(timeoutMs);
  }
}
