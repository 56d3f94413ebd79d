/**
 * Which streams are to be told that their credential ends, and which are to be ended: by the second, without a timer
 * of their own. Streams without a credential, or with one that does not end, cost nothing here.
 */
import type { Session } from './session.ts';

export interface ExpiryClockOptions {
  /** The credential ends in `leftMs`; it can still be renewed. */
  readonly onExpiring: (session: Session, leftMs: number) => void;
  readonly onExpired: (session: Session) => void;
}

/** How long before the end a stream is told of it; with a shorter life, half of what is left. */
const LEAD_MS = 60_000;
const SECOND_MS = 1000;

export class ExpiryClock {
  readonly #options: ExpiryClockOptions;
  /** By the second in which something is due. */
  readonly #due = new Map<number, Set<Session>>();
  readonly #secondOf = new Map<Session, number>();
  #lastSecond = 0;

  constructor(options: ExpiryClockOptions) {
    this.#options = options;
  }

  /** Again for a session whose credential was renewed. */
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

  /** Does what is due. */
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
      // Scheduled first: what is told may end it.
      this.#schedule(session, expiresAtMs);
      this.#options.onExpiring(session, expiresAtMs - nowMs);
    }
  }

  #schedule(session: Session, atMs: number): void {
    // Rounded up: what is due in a second has its time when that begins.
    const second = Math.max(this.#lastSecond + 1, Math.ceil(atMs / SECOND_MS));
    this.#secondOf.set(session, second);
    const sessions = this.#due.get(second);
    if (sessions === undefined) this.#due.set(second, new Set([session]));
    else sessions.add(session);
  }
}
