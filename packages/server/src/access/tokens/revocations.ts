/**
 * What has been revoked: all that a user got before a moment, one token with everything made from it, or one
 * connection. Every node keeps the whole list, for a credential may come to any of them.
 *
 * Guarantees: a revocation counts here before `revoke` asks for it to be spread; it is kept until the last credential
 * that it could concern has ended by itself; nothing is forgotten to make room, a list that is full refuses new ones.
 * How revocations reach other nodes, and what they do to open streams, is for `spread` and `onRevoked`.
 */
import { RequestError } from '../../core/errors.ts';
import type { Principal } from '../principal.ts';

export const REVOCATION_KINDS = ['user', 'token', 'connection'] as const;
export type RevocationKind = (typeof REVOCATION_KINDS)[number];

/** As it travels between nodes. */
export interface Revocation {
  readonly kind: RevocationKind;
  /** User id, token id or connection id. */
  readonly id: string;
  /** Of a user: what was issued until then. ms since 1970. */
  readonly atMs: number;
  /** Until when it must be kept. */
  readonly untilMs: number;
}

export interface RevocationsOptions {
  readonly now: () => number;
  /** Of the longest credential, from its making to its end, with what clocks may differ by. */
  readonly keepMs: number;
  readonly maxEntries?: number;
  /** Tells the other nodes. A rejection is the caller's to hear: not every node may know. */
  readonly spread?: (revocation: Revocation) => Promise<void>;
  /** Told of each that is new here, whoever made it. Must not throw. */
  readonly onRevoked?: (revocation: Revocation) => void;
}

/** A connection that is ended has no credential of its own; it is kept for nodes that hear of it late. */
const CONNECTION_KEEP_MS = 60_000;
const MAX_ENTRIES = 200_000;

export class Revocations {
  readonly #options: RevocationsOptions;
  readonly #entries = new Map<string, Revocation>();

  constructor(options: RevocationsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Rejects with `storage_full`, or when it could not be spread; it counts on this node in the latter case. */
  async revoke(kind: RevocationKind, id: string): Promise<Revocation> {
    const { now, keepMs, spread } = this.#options;
    const atMs = now();
    const untilMs = atMs + (kind === 'connection' ? CONNECTION_KEEP_MS : keepMs);
    const revocation = { kind, id, atMs, untilMs };
    if (!this.apply(revocation)) {
      throw new RequestError('storage_full', `there are ${this.size} revocations, and no more can be kept`);
    }
    await spread?.(revocation);
    return revocation;
  }

  /** Takes over one of another node, or again one that is known. False: there is no room. */
  apply(revocation: Revocation): boolean {
    const { now, maxEntries = MAX_ENTRIES, onRevoked } = this.#options;
    if (revocation.untilMs <= now()) return true;
    const key = keyOf(revocation.kind, revocation.id);
    const known = this.#entries.get(key);
    if (known === undefined && this.#entries.size >= maxEntries) {
      this.sweep();
      if (this.#entries.size >= maxEntries) return false;
    }
    // Two nodes may have revoked the same at once, and letters may come in any order: the later one holds all.
    if (known !== undefined && known.atMs >= revocation.atMs && known.untilMs >= revocation.untilMs)
      return true;
    this.#entries.set(key, {
      kind: revocation.kind,
      id: revocation.id,
      atMs: Math.max(revocation.atMs, known?.atMs ?? 0),
      untilMs: Math.max(revocation.untilMs, known?.untilMs ?? 0),
    });
    onRevoked?.(revocation);
    return true;
  }

  isRevoked({ userId, tokenId, parentTokenIds, issuedAtMs }: CredentialIdentity): boolean {
    if (this.#entries.size === 0) return false;
    if (tokenId !== undefined && this.#find('token', tokenId) !== undefined) return true;
    if (parentTokenIds.some((id) => this.#find('token', id) !== undefined)) return true;
    const ofUser = userId === undefined ? undefined : this.#find('user', userId);
    return ofUser !== undefined && wasIssuedBy(issuedAtMs, ofUser.atMs);
  }

  isConnectionRevoked(connectionId: string): boolean {
    return this.#find('connection', connectionId) !== undefined;
  }

  /** For a node that starts: everything that counts. */
  snapshot(): readonly Revocation[] {
    this.sweep();
    return [...this.#entries.values()];
  }

  /** Forgets what has had its time. */
  sweep(): void {
    const nowMs = this.#options.now();
    for (const [key, { untilMs }] of this.#entries) if (untilMs <= nowMs) this.#entries.delete(key);
  }

  #find(kind: RevocationKind, id: string): Revocation | undefined {
    const found = this.#entries.get(keyOf(kind, id));
    return found !== undefined && found.untilMs > this.#options.now() ? found : undefined;
  }
}

export type CredentialIdentity = Pick<Principal, 'userId' | 'tokenId' | 'parentTokenIds' | 'issuedAtMs'>;

/** Whether `revocation` concerns an open stream of this credential. */
export function concerns(
  revocation: Revocation,
  connectionId: string,
  { userId, tokenId, parentTokenIds, issuedAtMs }: CredentialIdentity,
): boolean {
  switch (revocation.kind) {
    case 'user':
      return userId === revocation.id && wasIssuedBy(issuedAtMs, revocation.atMs);
    case 'token':
      return tokenId === revocation.id || parentTokenIds.includes(revocation.id);
    case 'connection':
      return connectionId === revocation.id;
  }
}

/** JWTs tell seconds only, rounded down: one of the same second counts as earlier, for it may have been. */
function wasIssuedBy(issuedAtMs: number, atMs: number): boolean {
  return issuedAtMs <= atMs;
}

function keyOf(kind: RevocationKind, id: string): string {
  return `${kind} ${id}`;
}

/** One that another node sent, which may be of another version: undefined when it is none. */
export function readRevocation(value: unknown): Revocation | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { kind, id, atMs, untilMs } = value as Record<keyof Revocation, unknown>;
  if (!REVOCATION_KINDS.includes(kind as RevocationKind) || typeof id !== 'string') return undefined;
  if (!Number.isFinite(atMs) || !Number.isFinite(untilMs)) return undefined;
  return { kind: kind as RevocationKind, id, atMs: atMs as number, untilMs: untilMs as number };
}
