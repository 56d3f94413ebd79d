/**
 * Reads the certificate and the key of the service and checks that they belong together: at the start, and again
 * whenever the files change. A TLS server can use what this returns.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';

/** Absolute paths. */
export interface TlsPaths {
  readonly cert: string;
  readonly key: string;
  /** Authorities of client certificates; `undefined` when clients need none. */
  readonly ca: string | undefined;
}

export interface TlsFiles {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
  readonly ca: string | undefined;
  /** Expiry of the service's own certificate; its chain is not checked. */
  readonly expiresAtMs: number;
}

export type TlsVariable = 'SSL_CERT_PATH' | 'SSL_KEY_PATH' | 'SSL_CA_PATH';

/** An error for the operator, with the variable that it concerns. */
export class TlsFileProblem extends Error {
  readonly variable: TlsVariable;

  constructor(variable: TlsVariable, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'TlsFileProblem';
    this.variable = variable;
  }
}

/** Throws a `TlsFileProblem`. */
export function readTlsFiles(paths: TlsPaths): TlsFiles {
  const cert = read('SSL_CERT_PATH', paths.cert);
  const key = read('SSL_KEY_PATH', paths.key);
  const ca = paths.ca === undefined ? undefined : read('SSL_CA_PATH', paths.ca);
  const own = parseCertificate('SSL_CERT_PATH', paths.cert, cert);
  if (!own.checkPrivateKey(parseKey(paths.key, key))) {
    const problem = `${paths.key} is not the key of the first certificate in ${paths.cert}; the service's own certificate must come before its chain`;
    throw new TlsFileProblem('SSL_KEY_PATH', problem);
  }
  if (ca !== undefined && paths.ca !== undefined) parseCertificate('SSL_CA_PATH', paths.ca, ca);
  try {
    createSecureContext({ cert, key, ...(ca !== undefined && { ca }) });
  } catch (cause) {
    const problem = `${paths.cert} cannot be used (${(cause as Error).message})`;
    throw new TlsFileProblem('SSL_CERT_PATH', problem, { cause });
  }
  return { cert, key, ca, expiresAtMs: own.validToDate.getTime() };
}

function read(variable: TlsVariable, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new TlsFileProblem(variable, `cannot read ${path} (${code})`, { cause });
  }
}

function parseCertificate(variable: TlsVariable, path: string, pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw new TlsFileProblem(variable, `${path} contains no certificate in PEM`, { cause });
  }
}

function parseKey(path: string, pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    const isEncrypted = /ENCRYPTED/.test(pem);
    const problem = isEncrypted
      ? `the key in ${path} is encrypted, and the service has no passphrase for it`
      : `${path} contains no private key in PEM`;
    throw new TlsFileProblem('SSL_KEY_PATH', problem, { cause });
  }
}
