/**
 * Tickets: what a browser puts into a stream's URL, because `EventSource` sends no headers. A ticket is opaque and
 * carries everything itself, encrypted and authenticated (JWE, `dir`, A256GCM), so that every node can read what any
 * node made; it may be used until it expires, for a reconnect repeats its URL.
 *
 * On the wire the JWE has no header: it is always the same, and so no ticket can ask for another one.
 */
import { hkdfSync, randomBytes, randomUUID } from 'node:crypto';
import { EncryptJWT, jwtDecrypt } from 'jose';
import { ChannelSet, type ChannelSetJson } from '../channel-set.ts';
import type { UserGrant } from '../principal.ts';
import { splitToken } from '../tokens/compact-token.ts';
import { TokenRefused } from '../tokens/jwt-verifier.ts';

export interface Ticket extends UserGrant {
  readonly credential: 'ticket';
  /** Of the pages that may use it; undefined: any. */
  readonly origin: string | undefined;
}

/** The claims, as short as a URL wants them. */
interface TicketClaims {
  readonly sub?: string;
  readonly jti: string;
  readonly iat: number;
  readonly exp: number;
  /** Part of a second in `iat`, ms: revocations compare it. */
  readonly ms: number;
  readonly ch: ChannelSetJson;
  readonly by?: readonly string[];
  readonly org?: string;
}

const HEADER = { alg: 'dir', enc: 'A256GCM' } as const;
const HEADER_PART = Buffer.from(JSON.stringify(HEADER)).toString('base64url');
const KEY_BYTES = 32;
const SECOND_MS = 1000;
/** A ticket shares a request's line with the rest of the URL, which proxies bound at 8 KB. */
export const MAX_TICKET_CHARS = 4096;

/** `secret`: any text with enough in it; undefined: a key of this process alone. */
export function ticketKey(secret: string | undefined): Uint8Array {
  if (secret === undefined) return randomBytes(KEY_BYTES);
  // The label keeps it apart from whatever else the secret is used for, JWT signatures first of all.
  return new Uint8Array(hkdfSync('sha256', secret, '', 'message-push ticket 1', KEY_BYTES));
}

export class TicketSealer {
  readonly #key: Uint8Array;
  readonly #now: () => number;

  constructor(key: Uint8Array, now: () => number) {
    this.#key = key;
    this.#now = now;
  }

  /** Resolves with undefined when so many channels make no URL. */
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
      throw new TokenRefused('invalid', 'it is no ticket');
    let claims: TicketClaims;
    try {
      const { payload } = await jwtDecrypt(`${HEADER_PART}..${sealed}`, this.#key, {
        keyManagementAlgorithms: [HEADER.alg],
        contentEncryptionAlgorithms: [HEADER.enc],
        currentDate: new Date(this.#now()),
      });
      // Nobody but this class can have made it.
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
