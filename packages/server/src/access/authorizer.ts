/**
 * Turns a request into its principal and decides whether a principal may open a stream. The only place that knows which
 * credentials are required; everything else that a principal may do is in `decisions.ts`.
 *
 * Guarantees: an invalid credential refuses the request even where none is required; with authentication off,
 * credentials are not looked at. An outsider cannot tell an unknown key from an expired one, nor a forged token from
 * a malformed one. The holder of a token with a valid signature learns what is wrong with it. The log learns every
 * reason.
 *
 * Answers are synchronous where possible (no credential, an API key), so that a publish does not wait.
 */
import { BROADCAST_CHANNEL } from '@message-push/protocol';
import { RequestError } from '../core/errors.ts';
import type { AccessQuestion, AccessWebhook } from './access-webhook.ts';
import { type Credential, type CredentialParts, credentialOf } from './credential.ts';
import { demandJoin, refusedJoins } from './decisions.ts';
import type { KeyRing } from './keys/key-ring.ts';
import { isFromOrigin, mayUseCookie, type RequestOrigin } from './origin-check.ts';
import {
  anonymous,
  type Floor,
  floorOf,
  type KeyGrant,
  keyPrincipal,
  type Principal,
  userPrincipal,
} from './principal.ts';
import type { TicketSealer } from './tickets/tickets.ts';
import { KeysUnavailable } from './tokens/jwt-keys.ts';
import { userOfToken } from './tokens/jwt-user.ts';
import { type JwtVerifier, type TokenProblem, TokenRefused } from './tokens/jwt-verifier.ts';
import type { Revocations } from './tokens/revocations.ts';

export interface RequestParts extends CredentialParts, RequestOrigin {}

export interface AuthorizerOptions {
  /** `undefined` when API keys are not required. */
  readonly keys: Pick<KeyRing, 'find'> | undefined;
  /** `undefined` when users are not authenticated. */
  readonly users: UserOptions | undefined;
  readonly tickets: Pick<TicketSealer, 'unseal'>;
  readonly revocations: Pick<Revocations, 'isRevoked'>;
  readonly webhook: Pick<AccessWebhook, 'ask'> | undefined;
  /** Receives the reason for a refusal, for the log; never the credential itself. */
  readonly onRefused?: (refusal: { readonly by: string; readonly reason: string }) => void;
}

export interface UserOptions {
  /** `undefined` when users have tickets only. */
  readonly jwt: Pick<JwtVerifier, 'verify'> | undefined;
  /** `undefined` when cookies are not accepted as credentials. */
  readonly cookieName: string | undefined;
  /** Tells whether pages of an origin, other than the service's own, may act on behalf of their visitors. */
  readonly isTrustedOrigin: (origin: string) => boolean;
}

const PROBLEMS: Readonly<Record<TokenProblem, string>> = {
  invalid: 'the credential is not valid here',
  expired: 'the token has expired',
  not_yet_valid: 'the token is not valid yet',
  not_for_us: 'the token has a different issuer or audience',
  unusable_claims: 'a claim of the token is unusable',
};

export class Authorizer {
  readonly #options: AuthorizerOptions;
  readonly #floor: Floor;
  readonly #anonymous: Principal;
  /** Principals by key, each made once: publishers send the same key with every request. */
  readonly #ofKeys = new WeakMap<KeyGrant, Principal>();

  constructor(options: AuthorizerOptions) {
    this.#options = options;
    this.#floor = floorOf({ keys: options.keys !== undefined, users: options.users !== undefined });
    this.#anonymous = anonymous(this.#floor);
  }

  /** Authentication of keys or of users is enabled. */
  get isOn(): boolean {
    return this.#options.keys !== undefined || this.#options.users !== undefined;
  }

  /** Throws, or rejects with, a `RequestError`. */
  authenticate(request: RequestParts): Principal | Promise<Principal> {
    if (!this.isOn) return this.#anonymous;
    const credential = credentialOf(request, this.#options.users?.cookieName);
    if (credential === undefined) return this.#anonymous;
    const key = this.#byKey(credential);
    return key ?? this.#byToken(credential, request);
  }

  /**
   * Throws, or rejects with, a `RequestError` unless a stream may join `channels`: by its credential and, for a user,
   * by the application's webhook. The application is asked at each connect and may refuse everything. It may let users
   * join more channels than their token names, except the ones that identify a user. A ticket is never widened.
   */
  admit(principal: Principal, channels: readonly string[], clientIp: string): void | Promise<void> {
    const { webhook } = this.#options;
    if (webhook === undefined || principal.kind !== 'user') {
      demandJoin(principal, channels);
      return undefined;
    }
    const refused = refusedJoins(principal, channels);
    if (refused.some((channel) => principal.credential === 'ticket' || saysWho(channel))) {
      demandJoin(principal, channels);
    }
    return this.#askApplication(webhook, { userId: principal.userId, channels, clientIp });
  }

  async #askApplication(webhook: Pick<AccessWebhook, 'ask'>, question: AccessQuestion): Promise<void> {
    const channels = question.channels.filter((name) => name !== BROADCAST_CHANNEL);
    const { isAllowed, channels: allowed } = await webhook.ask({ ...question, channels });
    if (isAllowed && channels.every((channel) => allowed?.has(channel) ?? true)) return;
    throw new RequestError('forbidden', 'the application does not allow this user to join these channels');
  }

  /** Returns `undefined` when the credential is not an API key and may be a token. */
  #byKey({ kind, value }: Credential): Principal | undefined {
    const { keys, users } = this.#options;
    const found = kind === 'key' || kind === 'bearer' ? keys?.find(value) : undefined;
    if (found !== undefined) return this.#ofKey(found);
    if (kind === 'ticket' || (kind !== 'key' && users !== undefined)) return undefined;
    throw this.#refuse(kind, new TokenRefused('invalid', 'it is not an API key, or it has expired'));
  }

  #ofKey(key: KeyGrant): Principal {
    const known = this.#ofKeys.get(key);
    if (known !== undefined) return known;
    const principal = keyPrincipal(key, this.#floor);
    this.#ofKeys.set(key, principal);
    return principal;
  }

  async #byToken({ kind, value }: Credential, request: RequestParts): Promise<Principal> {
    try {
      const principal =
        kind === 'ticket' ? await this.#ofTicket(value, request) : await this.#ofJwt(kind, value, request);
      if (this.#options.revocations.isRevoked(principal)) throw new TokenRefused('invalid', 'it was revoked');
      return principal;
    } catch (error) {
      if (error instanceof TokenRefused) throw this.#refuse(kind, error);
      if (!(error instanceof KeysUnavailable)) throw error;
      const message = 'tokens cannot be verified right now';
      throw new RequestError('authorization_unavailable', message, { cause: error, retryAfterSeconds: 1 });
    }
  }

  async #ofTicket(value: string, request: RequestParts): Promise<Principal> {
    const ticket = await this.#options.tickets.unseal(value);
    if (ticket.origin !== undefined && !isFromOrigin(request, ticket.origin)) {
      throw new TokenRefused('invalid', 'it is bound to another origin');
    }
    return userPrincipal(ticket, this.#floor);
  }

  async #ofJwt(kind: Credential['kind'], value: string, request: RequestParts): Promise<Principal> {
    const { users } = this.#options;
    if (kind === 'cookie' && users !== undefined && !mayUseCookie(request, users.isTrustedOrigin)) {
      const problem = 'a cookie is accepted only from pages of ALLOWED_ORIGINS and of the service itself';
      throw new RequestError('forbidden', problem);
    }
    if (users?.jwt === undefined) throw new TokenRefused('invalid', 'JWTs are not configured');
    return userPrincipal(userOfToken(await users.jwt.verify(value)), this.#floor);
  }

  #refuse(kind: Credential['kind'], { problem, message, cause }: TokenRefused): RequestError {
    this.#options.onRefused?.({ by: kind, reason: message });
    return new RequestError('unauthorized', PROBLEMS[problem], { cause });
  }
}

/** Channels that identify a person. Only the login decides who joins them, never a list of channels. */
function saysWho(channel: string): boolean {
  return channel.startsWith('user:') || channel.startsWith('session:');
}
