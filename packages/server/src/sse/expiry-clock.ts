/**
 * Tells streams that their credential is about to expire, and ends them when it has. It works by the second, without a
 * timer for each stream. Streams without a credential, or with one that does not expire, cost nothing here.
 */
import type { Session } from './session.ts';

export interface ExpiryClockOptions {
  /** Called while the credential can still be renewed. It expires in `leftMs`. */
  readonly onExpiring: (session: Session, leftMs: number) => void;
  readonly onExpired: (session: Session) => void;
}

/** How long before the end a stream is told; half of what is left when that is less than twice as much. */
const LEAD_MS = 60_000;
const SECOND_MS = 1000;

export class ExpiryClock {
  readonly #options: ExpiryClockOptions;
  /** Sessions by the second in which something is due. */
  readonly #due = new Map<number, Set<Session>>();
  readonly #secondOf = new Map<Session, number>();
  #lastSecond = 0;

  constructor(options: ExpiryClockOptions) {
    this.#options = options;
  }

  /** Called again for a session whose credential was renewed. */
  add(session: Session, nowMs: number): void {
    this.remove(session);
    const { credential } = session;
    if (credential?.expiresAtMs === undefined) return;
    const leftMs = credential.expiresAtMs - nowMs;
    this.#schedule(session, credential.expiresAtMs - Math.min(LEAD_MS, leftMs / 2));
  }

  remove(session: Session): void {
    const second = this.#secondOf.get(session);
    if (second === undefined) return;
    this.#secondOf.delete(session);
    const sessions = this.#due.get(second);
    sessions?.delete(session);
    if (sessions?.size === 0) this.#due.delete(second);
  }

  /** Serves the sessions for which something is due. */
  turn(nowMs: number): void {
    const second = Math.floor(nowMs / SECOND_MS);
    if (second === this.#lastSecond) return;
    this.#lastSecond = second;
    for (const [dueSecond, sessions] of this.#due) {
      if (dueSecond > second) continue;
      for (const session of sessions) this.#serve(session, nowMs);
    }
  }

  #serve(session: Session, nowMs: number): void {
    const { expiresAtMs = Number.POSITIVE_INFINITY } = session.credential ?? {};
    this.remove(session);
    if (expiresAtMs <= nowMs) this.#options.onExpired(session);
    else {
      // Scheduled first, because the callback may end the session.
      this.#schedule(session, expiresAtMs);
      this.#options.onExpiring(session, expiresAtMs - nowMs);
    }
  }

  #schedule(session: Session, atMs: number): void {
    // Rounded up: a session is served at the beginning of its second.
    const second = Math.max(this.#lastSecond + 1, Math.ceil(atMs / SECOND_MS));
    this.#secondOf.set(session, second);
    const sessions = this.#due.get(second);
    if (sessions === undefined) this.#due.set(second, new Set([session]));
    else sessions.add(session);
  }
}
