/**
 * Tickets: credentials that a browser puts into a stream's URL, because `EventSource` cannot send headers. A ticket is
 * opaque and self-contained, encrypted and authenticated (JWE, `dir`, A256GCM), so that any node can read what another
 * one made. It can be used until it expires, because a reconnect repeats the URL.
 *
 * The JWE's header is not sent: it is always the same, so that no ticket can ask for other algorithms.
 */
import { hkdfSync, randomBytes, randomUUID } from 'node:crypto';
import { EncryptJWT, jwtDecrypt } from 'jose';
import { ChannelSet, type ChannelSetJson } from '../channel-set.ts';
import type { UserGrant } from '../principal.ts';
import { splitToken } from '../tokens/compact-token.ts';
import { TokenRefused } from '../tokens/jwt-verifier.ts';

export interface Ticket extends UserGrant {
  readonly credential: 'ticket';
  /** Origin of the pages that may use the ticket; `undefined` when any page may. */
  readonly origin: string | undefined;
}

/** The claims, with short names to keep URLs short. */
interface TicketClaims {
  readonly sub?: string;
  readonly jti: string;
  readonly iat: number;
  readonly exp: number;
  /** Milliseconds beyond `iat`, which revocations compare. */
  readonly ms: number;
  readonly ch: ChannelSetJson;
  readonly by?: readonly string[];
  readonly org?: string;
}

const HEADER = { alg: 'dir', enc: 'A256GCM' } as const;
const HEADER_PART = Buffer.from(JSON.stringify(HEADER)).toString('base64url');
const KEY_BYTES = 32;
const SECOND_MS = 1000;
/** A ticket shares the request line with the rest of the URL, and proxies limit that line to 8 KB. */
export const MAX_TICKET_CHARS = 4096;

/** Derives the key from `secret`, any text with enough entropy; without one, makes a random key for this process. */
export function ticketKey(secret: string | undefined): Uint8Array {
  if (secret === undefined) return randomBytes(KEY_BYTES);
  // The label separates this key from other uses of the secret, above all from JWT signatures.
  return new Uint8Array(hkdfSync('sha256', secret, '', 'message-push ticket 1', KEY_BYTES));
}

export class TicketSealer {
  readonly #key: Uint8Array;
  readonly #now: () => number;

  constructor(key: Uint8Array, now: () => number) {
    this.#key = key;
    this.#now = now;
  }

  /** Resolves with `undefined` when the ticket is too long for a URL. */
  async seal(ticket: Omit<Ticket, 'credential'>): Promise<string | undefined> {
    const iat = Math.floor(ticket.issuedAtMs / SECOND_MS);
    const claims: TicketClaims = {
      ...(ticket.userId === undefined ? {} : { sub: ticket.userId }),
      jti: ticket.tokenId,
      iat,
      exp: Math.floor(ticket.expiresAtMs / SECOND_MS),
      ms: ticket.issuedAtMs - iat * SECOND_MS,
      ch: ticket.joins.toJson(),
      ...(ticket.parentTokenIds.length === 0 ? {} : { by: ticket.parentTokenIds }),
      ...(ticket.origin === undefined ? {} : { org: ticket.origin }),
    };
    const jwe = await new EncryptJWT({ ...claims }).setProtectedHeader({ ...HEADER }).encrypt(this.#key);
    const sealed = jwe.slice(`${HEADER_PART}..`.length);
    return sealed.length > MAX_TICKET_CHARS ? undefined : sealed;
  }

  /** Rejects with `TokenRefused`. */
  async unseal(sealed: string): Promise<Ticket> {
    if (splitToken(sealed, 3, MAX_TICKET_CHARS) === undefined)
      throw new TokenRefused('invalid', 'it is not a ticket');
    let claims: TicketClaims;
    try {
      const { payload } = await jwtDecrypt(`${HEADER_PART}..${sealed}`, this.#key, {
        keyManagementAlgorithms: [HEADER.alg],
        contentEncryptionAlgorithms: [HEADER.enc],
        currentDate: new Date(this.#now()),
      });
      // The payload is authenticated: only this class can have made it.
      claims = payload as unknown as TicketClaims;
    } catch (cause) {
      const isExpired = (cause as { code?: unknown }).code === 'ERR_JWT_EXPIRED';
      throw new TokenRefused(isExpired ? 'expired' : 'invalid', (cause as Error).message, cause);
    }
    return {
      credential: 'ticket',
      userId: claims.sub,
      joins: ChannelSet.fromJson(claims.ch),
      tokenId: claims.jti,
      parentTokenIds: claims.by ?? [],
      issuedAtMs: claims.iat * SECOND_MS + claims.ms,
      expiresAtMs: claims.exp * SECOND_MS,
      origin: claims.org,
    };
  }
}

export function newTicketId(): string {
  return randomUUID();
}
