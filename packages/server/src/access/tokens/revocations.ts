/**
 * The list of revocations: of all credentials that a user got up to a moment, of one token and everything made from it,
 * or of one connection. Every node keeps the whole list, because a credential may be shown to any of them.
 *
 * Guarantees: a revocation is in effect here before `revoke` spreads it, and is kept until the last credential that it
 * could concern has expired. No entry is evicted to make room: a full list refuses new ones. `spread` takes revocations
 * to other nodes, and `onRevoked` applies them to open streams.
 */
import { RequestError } from '../../core/errors.ts';
import type { Principal } from '../principal.ts';

export const REVOCATION_KINDS = ['user', 'token', 'connection'] as const;
export type RevocationKind = (typeof REVOCATION_KINDS)[number];

/** One entry, as nodes send it to each other. */
export interface Revocation {
  readonly kind: RevocationKind;
  /** User id, token id or connection id. */
  readonly id: string;
  /** For a user, the credentials issued up to this moment are revoked. ms since 1970. */
  readonly atMs: number;
  /** Time until which the entry must be kept. */
  readonly untilMs: number;
}

export interface RevocationsOptions {
  readonly now: () => number;
  /** Longest possible lifetime of a credential, plus the tolerated clock difference. */
  readonly keepMs: number;
  readonly maxEntries?: number;
  /** Sends the revocation to the other nodes. `revoke` passes on a rejection, since some node may not have it. */
  readonly spread?: (revocation: Revocation) => Promise<void>;
  /** Called for each revocation that is new on this node, whichever node made it. Must not throw. */
  readonly onRevoked?: (revocation: Revocation) => void;
}

/** A revoked connection cannot return; its entry is kept for nodes that learn of it late. */
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

  /** Rejects with `storage_full`, or when spreading failed; in that case the revocation is in effect on this node. */
  async revoke(kind: RevocationKind, id: string): Promise<Revocation> {
    const { now, keepMs, spread } = this.#options;
    const atMs = now();
    const untilMs = atMs + (kind === 'connection' ? CONNECTION_KEEP_MS : keepMs);
    const revocation = { kind, id, atMs, untilMs };
    if (!this.apply(revocation)) {
      throw new RequestError('storage_full', `the list of revocations is full: it has ${this.size} entries`);
    }
    await spread?.(revocation);
    return revocation;
  }

  /** Adds a revocation of any node, or one that is already known. Returns false when the list is full. */
  apply(revocation: Revocation): boolean {
    const { now, maxEntries = MAX_ENTRIES, onRevoked } = this.#options;
    if (revocation.untilMs <= now()) return true;
    const key = keyOf(revocation.kind, revocation.id);
    const known = this.#entries.get(key);
    if (known === undefined && this.#entries.size >= maxEntries) {
      this.sweep();
      if (this.#entries.size >= maxEntries) return false;
    }
    // Two nodes may revoke the same at once, and messages may arrive in any order: the later revocation covers both.
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

  /** Returns all entries in effect, for a node that starts. */
  snapshot(): readonly Revocation[] {
    this.sweep();
    return [...this.#entries.values()];
  }

  /** Removes entries that are no longer needed. */
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

/** Tells whether `revocation` concerns an open stream with this credential. */
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

/**
 * JWTs carry whole seconds, rounded down: a token of the same second counts as issued before, because it may have
 * been.
 */
function wasIssuedBy(issuedAtMs: number, atMs: number): boolean {
  return issuedAtMs <= atMs;
}

function keyOf(kind: RevocationKind, id: string): string {
  return `${kind} ${id}`;
}

/** Reads a revocation from another node, which may run another version. Returns `undefined` when it is malformed. */
export function readRevocation(value: unknown): Revocation | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { kind, id, atMs, untilMs } = value as Record<keyof Revocation, unknown>;
  if (!REVOCATION_KINDS.includes(kind as RevocationKind) || typeof id !== 'string') return undefined;
  if (!Number.isFinite(atMs) || !Number.isFinite(untilMs)) return undefined;
  return { kind: kind as RevocationKind, id, atMs: atMs as number, untilMs: untilMs as number };
}
