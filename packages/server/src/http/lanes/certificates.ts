/**
 * The certificate that the service shows: read again when its files have changed, so that it is renewed without a
 * restart and without a stream that ends. New files that cannot be used change nothing but the log.
 *
 * Files are looked at from time to time and not watched: watching fails in silence on network file systems, and on
 * volumes whose files are links that are swapped. A change counts once it has stood still for a look, because
 * certificate and key are two files that cannot be replaced at once.
 */
import { statSync } from 'node:fs';
import type { TlsIdentity } from './tls-server.ts';

export interface CertificatesOptions {
  /** Of the files that `read` reads. */
  readonly paths: readonly string[];
  /** Throws an Error for the operator. */
  readonly read: () => TlsIdentity;
  /** Takes over new files; new connections are shown them. */
  readonly onRenewed: (files: TlsIdentity) => void;
  readonly onRefused: (error: Error) => void;
  /** It ends within `EXPIRES_SOON_MS`, or is over: told of at the start and once a day. */
  readonly onExpiring: (expiresAtMs: number) => void;
  readonly now: () => number;
}

export const EXPIRES_SOON_MS = 14 * 86_400_000;
const LOOK_MS = 2_000;
const REMIND_MS = 86_400_000;

export class Certificates {
  readonly #options: CertificatesOptions;
  #files: TlsIdentity;
  /** What the files looked like when they were last read, and at the last look. */
  #read: string;
  #seen: string;
  #remindedMs = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  /** Throws an Error for the operator. */
  constructor(options: CertificatesOptions) {
    this.#options = options;
    this.#read = this.#look();
    this.#seen = this.#read;
    this.#files = options.read();
  }

  get files(): TlsIdentity {
    return this.#files;
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
      this.#files = this.#options.read();
      this.#options.onRenewed(this.#files);
      this.#remindedMs = Number.NEGATIVE_INFINITY;
    } catch (error) {
      this.#options.onRefused(error as Error);
    }
  }

  #remind(): void {
    const { now, onExpiring } = this.#options;
    const nowMs = now();
    if (this.#files.expiresAtMs - nowMs > EXPIRES_SOON_MS || nowMs - this.#remindedMs < REMIND_MS) return;
    this.#remindedMs = nowMs;
    onExpiring(this.#files.expiresAtMs);
  }

  /** Of the files that links lead to. Changes when one is written, replaced or swapped for another. */
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
