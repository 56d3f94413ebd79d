/**
 * Verifies JWTs. What comes is hostile until its signature is good, so the cheap and strict looks come first, and one
 * token costs one verification at most: its size, its form, its header, its signature, its claims.
 *
 * Nothing in a token's header chooses a key or leads anywhere: keys that it carries or points to (`jwk`, `jku`,
 * `x5u`, `x5c`) refuse it, and a `kid` is a name among the keys that are known, never a path or an address.
 */
import { hash } from 'node:crypto';
import { errors, type JWTPayload, jwtVerify } from 'jose';
import { splitToken } from './compact-token.ts';
import { type JwtKeys, KeysUnavailable } from './jwt-keys.ts';

export interface JwtVerifierOptions {
  readonly keys: JwtKeys;
  /** That a token may be signed with; all of one kind of key. */
  readonly algorithms: readonly string[];
  /** A token must be of one of them; empty: of any. */
  readonly issuers: readonly string[];
  /** A token must be for one of them; empty: only tokens that name nobody are taken. */
  readonly audiences: readonly string[];
  readonly clockToleranceMs: number;
  /** From a token's making to its end, whatever it says itself; so that a revocation need not be kept for ever. */
  readonly maxLifetimeMs: number;
  readonly now: () => number;
}

/**
 * Why a token is refused. `invalid` is all that an outsider learns; the others are said of tokens with a good
 * signature, to whoever got them rightly.
 */
export type TokenProblem = 'invalid' | 'expired' | 'not_yet_valid' | 'not_for_us' | 'unusable_claims';

export class TokenRefused extends Error {
  readonly problem: TokenProblem;

  /** `reason` is for the log. */
  constructor(problem: TokenProblem, reason: string, cause?: unknown) {
    super(reason, { cause });
    this.name = 'TokenRefused';
    this.problem = problem;
  }
}

/** A token whose signature, issuer, audience and times are good. */
export interface VerifiedToken {
  readonly claims: Readonly<JWTPayload>;
  readonly tokenId: string;
  /** -Infinity: it does not say. */
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}

export const MAX_JWT_CHARS = 8192;
const MAX_HEADER_CHARS = 2048;
const TYPES: readonly unknown[] = [undefined, 'jwt', 'at+jwt', 'application/jwt', 'application/at+jwt'];
/** Each of these would have the verifier do something that it must not be told by a stranger. */
const REFUSED_HEADERS = ['jwk', 'jku', 'x5u', 'x5c', 'crit', 'b64', 'zip', 'enc', 'cty'];
const KEY_ID = /^[\x20-\x7e]{1,256}$/;
const TOKEN_ID = /^[\x21-\x7e]{1,128}$/;
const SECOND_MS = 1000;

export class JwtVerifier {
  readonly #options: JwtVerifierOptions;

  constructor(options: JwtVerifierOptions) {
    this.#options = options;
  }

  /** Rejects with `TokenRefused` or `KeysUnavailable`. */
  async verify(token: string): Promise<VerifiedToken> {
    const parts = splitToken(token, 3, MAX_JWT_CHARS);
    if (parts === undefined) throw new TokenRefused('invalid', 'it is no compact JWT of an allowed size');
    this.#checkHeader(parts[0] as string);
    const { claims, nowMs } = await this.#verified(token);
    return { claims, tokenId: tokenIdOf(claims, token), ...this.#times(claims, nowMs) };
  }

  #checkHeader(part: string): void {
    const header = part.length > MAX_HEADER_CHARS ? undefined : parseObject(part);
    if (header === undefined)
      throw new TokenRefused('invalid', 'its header is no JSON object of an allowed size');
    const { alg, typ, kid } = header;
    if (typeof alg !== 'string' || !this.#options.algorithms.includes(alg)) {
      throw new TokenRefused('invalid', 'its algorithm is not allowed');
    }
    const refused = REFUSED_HEADERS.find((name) => Object.hasOwn(header, name));
    if (refused !== undefined) throw new TokenRefused('invalid', `its header has ${refused}`);
    if (!TYPES.includes(typeof typ === 'string' ? typ.toLowerCase() : typ)) {
      throw new TokenRefused('invalid', 'its type is another one');
    }
    if (kid !== undefined && (typeof kid !== 'string' || !KEY_ID.test(kid))) {
      throw new TokenRefused('invalid', 'its kid is none');
    }
  }

  async #verified(token: string): Promise<{ claims: JWTPayload; nowMs: number }> {
    const { keys, algorithms, issuers, audiences, clockToleranceMs, now } = this.#options;
    const nowMs = now();
    try {
      const options = {
        algorithms: [...algorithms],
        ...(issuers.length > 0 ? { issuer: [...issuers] } : {}),
        ...(audiences.length > 0 ? { audience: [...audiences] } : {}),
        clockTolerance: clockToleranceMs / SECOND_MS,
        currentDate: new Date(nowMs),
      };
      // Two calls, for one type of key each.
      const { payload } = await (typeof keys === 'function'
        ? jwtVerify(token, keys, options)
        : jwtVerify(token, keys, options));
      return { claims: payload, nowMs };
    } catch (error) {
      if (error instanceof KeysUnavailable) throw new KeysUnavailable(error);
      throw refusalOf(error);
    }
  }

  #times(claims: JWTPayload, nowMs: number): Pick<VerifiedToken, 'issuedAtMs' | 'expiresAtMs'> {
    const { audiences, clockToleranceMs, maxLifetimeMs } = this.#options;
    // [spec] RFC 7519, 4.1.3: a token that names audiences is not for one who is none of them.
    if (audiences.length === 0 && claims.aud !== undefined) {
      throw new TokenRefused('not_for_us', 'it names an audience and JWT_AUDIENCE is not set');
    }
    // Their types are checked by `jwtVerify`.
    const { iat, exp } = claims;
    if (iat !== undefined && iat * SECOND_MS > nowMs + clockToleranceMs) {
      throw new TokenRefused('not_yet_valid', 'it was made in the future');
    }
    if (iat === undefined && exp === undefined) {
      throw new TokenRefused('unusable_claims', 'it has neither exp nor iat, and would never end');
    }
    const issuedAtMs = iat === undefined ? Number.NEGATIVE_INFINITY : iat * SECOND_MS;
    const latestMs = (iat === undefined ? nowMs : issuedAtMs) + maxLifetimeMs;
    const ownEndMs = exp === undefined ? Number.POSITIVE_INFINITY : exp * SECOND_MS;
    if (iat === undefined && ownEndMs > latestMs + clockToleranceMs) {
      throw new TokenRefused(
        'unusable_claims',
        'it lives longer than JWT_MAX_LIFETIME and does not say since when',
      );
    }
    const expiresAtMs = Math.min(ownEndMs, latestMs);
    if (expiresAtMs <= nowMs - clockToleranceMs)
      throw new TokenRefused('expired', 'it has outlived JWT_MAX_LIFETIME');
    return { issuedAtMs, expiresAtMs };
  }
}

function parseObject(part: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    // What is no JSON is no header: the caller refuses it.
    return undefined;
  }
}

/** Errors about claims come after the signature was found good. */
function refusalOf(error: unknown): TokenRefused {
  const reason = error instanceof Error ? error.message : String(error);
  if (error instanceof errors.JWTExpired) return new TokenRefused('expired', reason, error);
  if (error instanceof errors.JWTClaimValidationFailed) {
    const { claim, reason: kind } = error;
    if (claim === 'nbf' && kind === 'check_failed') return new TokenRefused('not_yet_valid', reason, error);
    if (claim === 'iss' || claim === 'aud') return new TokenRefused('not_for_us', reason, error);
    return new TokenRefused('unusable_claims', reason, error);
  }
  return new TokenRefused('invalid', reason, error);
}

/** By which it can be revoked: its own id, or where it has none the hash of its bytes. */
function tokenIdOf({ jti }: JWTPayload, token: string): string {
  if (typeof jti === 'string' && TOKEN_ID.test(jti)) return jti;
  return `sha256:${hash('sha256', token, 'base64url')}`;
}
