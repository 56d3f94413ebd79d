/** Certificates for tests, made with openssl. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Paths of PEM files. */
export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
}

const NEW_KEY = '-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes';
const NAMES = '-addext subjectAltName=IP:127.0.0.1,DNS:localhost';

/** A certificate authority and a folder for the certificates that it signs. */
export class TestAuthority {
  readonly folder = mkdtempSync(join(tmpdir(), 'message-push-tls-'));
  readonly ca = join(this.folder, 'ca.pem');

  constructor() {
    this.#openssl(`req -x509 ${NEW_KEY} -days 30 -subj /CN=authority -keyout ca.key -out ca.pem`);
  }

  /** Issues a certificate for 127.0.0.1; `name` is its common name and the name of its files. */
  issue(name: string, days = 30): TestCertificate {
    this.#openssl(`req ${NEW_KEY} -subj /CN=${name} ${NAMES} -keyout ${name}.key -out ${name}.csr`);
    this.#openssl(
      `x509 -req -in ${name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days ${days} -copy_extensions copy -out ${name}.pem`,
    );
    return { cert: join(this.folder, `${name}.pem`), key: join(this.folder, `${name}.key`) };
  }

  dispose(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #openssl(line: string): void {
    execFileSync('openssl', line.split(' '), {
      cwd: this.folder,
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: 10_000,
    });
  }
}

export function tlsEnv({ cert, key }: TestCertificate): Record<string, string> {
  return { ENABLE_SSL: 'true', SSL_CERT_PATH: cert, SSL_KEY_PATH: key };
}
