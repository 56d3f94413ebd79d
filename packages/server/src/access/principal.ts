/**
 * The authenticated sender of a request and its permissions: a value, made from a credential once per request or
 * stream. Permissions depend only on the fields of a principal, so it can be kept with a stream and checked again
 * later.
 */
import { ChannelSet } from './channel-set.ts';

export const SCOPES = ['publish', 'broadcast', 'read', 'manage'] as const;
/**
 * `publish` sends messages to the channels of the credential. `broadcast` sends to every stream. `read` joins those
 * channels and sees their history and streams. `manage` ends streams, makes tickets and revokes.
 */
export type Scope = (typeof SCOPES)[number];

/** The kind of credential that authenticated a principal. */
export type CredentialKind = 'none' | 'key' | 'jwt' | 'ticket';

export interface Principal {
  readonly kind: 'anonymous' | 'key' | 'user';
  readonly credential: CredentialKind;
  /** Identifies the principal in the log and in limits. Not a secret. */
  readonly name: string;
  readonly scopes: ReadonlySet<Scope>;
  /** The channels to which the scopes apply. */
  readonly channels: ChannelSet;
  /** The channels that a stream may join. */
  readonly joins: ChannelSet;
  readonly userId: string | undefined;
  /** The id by which the credential can be revoked; `undefined` when it cannot. */
  readonly tokenId: string | undefined;
  /** Ids of the credentials from which this one was made. Revoking one of them revokes it too. */
  readonly parentTokenIds: readonly string[];
  /** ms since 1970; -Infinity when unknown. */
  readonly issuedAtMs: number;
  /** `undefined` when the credential does not expire. */
  readonly expiresAtMs: number | undefined;
}

/** The permissions that everybody has, with or without a credential. */
export interface Floor {
  readonly scopes: ReadonlySet<Scope>;
  readonly channels: ChannelSet;
  readonly joins: ChannelSet;
}

/**
 * | keys required | users authenticated | allowed without a credential |
 * |---|---|---|
 * | no | no | everything |
 * | yes | no | join any channel, like the browsers of a site without logins |
 * | no | yes | publish, like a back end without a key; read nothing |
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
