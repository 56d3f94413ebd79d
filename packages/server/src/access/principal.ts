/**
 * Who a request comes from, and what that one may do: a value, made from a credential once per request or stream.
 * What a principal may do never depends on anything but its fields, so it can be kept with a stream and asked again.
 */
import { ChannelSet } from './channel-set.ts';

export const SCOPES = ['publish', 'broadcast', 'read', 'manage'] as const;
/**
 * `publish`: send messages to its channels. `broadcast`: send to every stream. `read`: join its channels, see their
 * history and streams. `manage`: end streams, make tickets, revoke.
 */
export type Scope = (typeof SCOPES)[number];

/** What proved it. */
export type CredentialKind = 'none' | 'key' | 'jwt' | 'ticket';

export interface Principal {
  readonly kind: 'anonymous' | 'key' | 'user';
  readonly credential: CredentialKind;
  /** For the log and the limits; no secret. */
  readonly name: string;
  readonly scopes: ReadonlySet<Scope>;
  /** What its scopes reach. */
  readonly channels: ChannelSet;
  readonly joins: ChannelSet;
  readonly userId: string | undefined;
  /** By which the credential can be revoked; undefined: it cannot. */
  readonly tokenId: string | undefined;
  /** Credentials that it was made from, by which it is revoked too. */
  readonly parentTokenIds: readonly string[];
  /** ms since 1970; -Infinity where nothing says it. */
  readonly issuedAtMs: number;
  /** undefined: it does not end by itself. */
  readonly expiresAtMs: number | undefined;
}

/** What everybody may do, without a credential and with any. */
export interface Floor {
  readonly scopes: ReadonlySet<Scope>;
  readonly channels: ChannelSet;
  readonly joins: ChannelSet;
}

/**
 * | keys asked for | users asked for | without a credential |
 * |---|---|---|
 * | no | no | everything |
 * | yes | no | join any channel, as the browser of a site without logins |
 * | no | yes | publish, as a back end without a key; see nothing |
 * | yes | yes | nothing |
 */
export function floorOf(asked: { readonly keys: boolean; readonly users: boolean }): Floor {
  const scopes: readonly Scope[] = asked.keys ? [] : asked.users ? ['publish', 'broadcast'] : SCOPES;
  return {
    scopes: new Set(scopes),
    channels: asked.keys ? ChannelSet.none : ChannelSet.all,
    joins: asked.users ? ChannelSet.none : ChannelSet.all,
  };
}

export function anonymous(floor: Floor): Principal {
  return {
    kind: 'anonymous',
    credential: 'none',
    name: 'anonymous',
    ...floor,
    userId: undefined,
    tokenId: undefined,
    parentTokenIds: [],
    issuedAtMs: Number.NEGATIVE_INFINITY,
    expiresAtMs: undefined,
  };
}

export interface KeyGrant {
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly channels: ChannelSet;
  readonly expiresAtMs: number | undefined;
}

export function keyPrincipal(key: KeyGrant, floor: Floor): Principal {
  const scopes = new Set(key.scopes);
  return {
    ...anonymous(floor),
    kind: 'key',
    credential: 'key',
    name: `key:${key.name}`,
    scopes,
    channels: key.channels,
    joins: scopes.has('read') ? floor.joins.union(key.channels) : floor.joins,
    expiresAtMs: key.expiresAtMs,
  };
}

export interface UserGrant {
  readonly credential: 'jwt' | 'ticket';
  readonly userId: string | undefined;
  readonly joins: ChannelSet;
  readonly tokenId: string;
  readonly parentTokenIds: readonly string[];
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}

export function userPrincipal(grant: UserGrant, floor: Floor): Principal {
  const { credential, userId, tokenId, parentTokenIds, issuedAtMs, expiresAtMs } = grant;
  return {
    ...floor,
    kind: 'user',
    credential,
    name: userId === undefined ? 'guest' : `user:${userId}`,
    joins: floor.joins.union(grant.joins),
    userId,
    tokenId,
    parentTokenIds,
    issuedAtMs,
    expiresAtMs,
  };
}
