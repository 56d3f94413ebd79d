/**
 * The certificate that the service presents. Its files are read again when they have changed, so that it is renewed
 * without a restart and without ending a stream. New files that cannot be used are logged and otherwise ignored.
 *
 * The files are polled, not watched: watching fails silently on network file systems, and on volumes whose files are
 * links that are swapped. A change takes effect once two polls in a row have seen it, because the certificate and the
 * key are two files that cannot be replaced at the same moment.
 */
import { statSync } from 'node:fs';
import type { TlsIdentity } from './tls-server.ts';

export interface CertificatesOptions {
  /** The files that `read` reads. */
  readonly paths: readonly string[];
  /** Throws an error meant for the operator. */
  readonly read: () => TlsIdentity;
  /** New connections are to get the new certificate. */
  readonly onRenewed: (identity: TlsIdentity) => void;
  readonly onRefused: (error: Error) => void;
  /** The certificate expires within `EXPIRES_SOON_MS`, or has expired. Called at the start and once a day. */
  readonly onExpiring: (expiresAtMs: number) => void;
  readonly now: () => number;
}

export const EXPIRES_SOON_MS = 14 * 86_400_000;
const LOOK_MS = 2_000;
const REMIND_MS = 86_400_000;

export class Certificates {
  readonly #options: CertificatesOptions;
  #identity: TlsIdentity;
  /** The state of the files when they were last read, and at the last poll. */
  #read: string;
  #seen: string;
  #remindedMs = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  /** Throws an error meant for the operator. */
  constructor(options: CertificatesOptions) {
    this.#options = options;
    this.#read = this.#look();
    this.#seen = this.#read;
    this.#identity = options.read();
  }

  get identity(): TlsIdentity {
    return this.#identity;
  }

  start(): void {
    this.#remind();
    this.#timer = setInterval(() => this.check(), LOOK_MS);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  check(): void {
    const look = this.#look();
    const hasSettled = look === this.#seen;
    this.#seen = look;
    if (hasSettled && look !== this.#read) this.#renew(look);
    this.#remind();
  }

  #renew(look: string): void {
    this.#read = look;
    try {
      this.#identity = this.#options.read();
      this.#options.onRenewed(this.#identity);
      this.#remindedMs = Number.NEGATIVE_INFINITY;
    } catch (error) {
      this.#options.onRefused(error as Error);
    }
  }

  #remind(): void {
    const { now, onExpiring } = this.#options;
    const nowMs = now();
    if (this.#identity.expiresAtMs - nowMs > EXPIRES_SOON_MS || nowMs - this.#remindedMs < REMIND_MS) return;
    this.#remindedMs = nowMs;
    onExpiring(this.#identity.expiresAtMs);
  }

  /** Describes the files that links lead to. Changes when one is written, replaced or swapped for another. */
  #look(): string {
    return this.#options.paths.map(lookAt).join('\n');
  }
}

function lookAt(path: string): string {
  try {
    const { ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}
