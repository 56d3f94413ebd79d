/**
 * Verifies JWTs. A token is hostile until its signature is verified, so cheap and strict checks come first, in this
 * order: size, form, header, signature, claims. A token costs at most one signature verification.
 *
 * The header of a token cannot bring or locate a key: a token that carries or references one (`jwk`, `jku`, `x5u`,
 * `x5c`) is refused, and a `kid` only selects among the known keys; it is never a path or an address.
 */
import { hash } from 'node:crypto';
import { errors, type JWTPayload, jwtVerify } from 'jose';
import { splitToken } from './compact-token.ts';
import { type JwtKeys, KeysUnavailable } from './jwt-keys.ts';

export interface JwtVerifierOptions {
  readonly keys: JwtKeys;
  /** Allowed algorithms, all for one kind of key. */
  readonly algorithms: readonly string[];
  /** Accepted issuers; when empty, any issuer is accepted. */
  readonly issuers: readonly string[];
  /** Accepted audiences; when empty, only tokens without an audience are accepted. */
  readonly audiences: readonly string[];
  readonly clockToleranceMs: number;
  /** Upper bound on a token's lifetime, whatever its `exp` says, so that a revocation need not be kept for ever. */
  readonly maxLifetimeMs: number;
  readonly now: () => number;
}

/**
 * Why a token is refused. `invalid` is all that an outsider learns; the other values are reported only for tokens
 * with a valid signature.
 */
export type TokenProblem = 'invalid' | 'expired' | 'not_yet_valid' | 'not_for_us' | 'unusable_claims';

export class TokenRefused extends Error {
  readonly problem: TokenProblem;

  /** `reason` goes to the log only. */
  constructor(problem: TokenProblem, reason: string, cause?: unknown) {
    super(reason, { cause });
    this.name = 'TokenRefused';
    this.problem = problem;
  }
}

/** A token whose signature, issuer, audience and times are valid. */
export interface VerifiedToken {
  readonly claims: Readonly<JWTPayload>;
  readonly tokenId: string;
  /** -Infinity when the token has no `iat`. */
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}

export const MAX_JWT_CHARS = 8192;
const MAX_HEADER_CHARS = 2048;
const TYPES: readonly unknown[] = [undefined, 'jwt', 'at+jwt', 'application/jwt', 'application/at+jwt'];
/** Headers that would make the verifier act on instructions of a stranger. */
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
    if (parts === undefined) throw new TokenRefused('invalid', 'it is not a compact JWT of an allowed size');
    this.#checkHeader(parts[0] as string);
    const { claims, nowMs } = await this.#verified(token);
    return { claims, tokenId: tokenIdOf(claims, token), ...this.#times(claims, nowMs) };
  }

  #checkHeader(part: string): void {
    const header = part.length > MAX_HEADER_CHARS ? undefined : parseObject(part);
    if (header === undefined)
      throw new TokenRefused('invalid', 'its header is not a JSON object of an allowed size');
    const { alg, typ, kid } = header;
    if (typeof alg !== 'string' || !this.#options.algorithms.includes(alg)) {
      throw new TokenRefused('invalid', 'its algorithm is not allowed');
    }
    const refused = REFUSED_HEADERS.find((name) => Object.hasOwn(header, name));
    if (refused !== undefined) throw new TokenRefused('invalid', `its header has ${refused}`);
    if (!TYPES.includes(typeof typ === 'string' ? typ.toLowerCase() : typ)) {
      throw new TokenRefused('invalid', 'its typ is not that of a JWT');
    }
    if (kid !== undefined && (typeof kid !== 'string' || !KEY_ID.test(kid))) {
      throw new TokenRefused('invalid', 'its kid is not valid');
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
      // Two calls, because `jwtVerify` has an overload for each type of key.
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
    // [spec] RFC 7519, 4.1.3: a token that names audiences must be rejected by everybody else.
    if (audiences.length === 0 && claims.aud !== undefined) {
      throw new TokenRefused('not_for_us', 'it names an audience, but JWT_AUDIENCE is not set');
    }
    // `jwtVerify` has checked their types.
    const { iat, exp } = claims;
    if (iat !== undefined && iat * SECOND_MS > nowMs + clockToleranceMs) {
      throw new TokenRefused('not_yet_valid', 'its iat is in the future');
    }
    if (iat === undefined && exp === undefined) {
      throw new TokenRefused('unusable_claims', 'it has neither exp nor iat, so it would never expire');
    }
    const issuedAtMs = iat === undefined ? Number.NEGATIVE_INFINITY : iat * SECOND_MS;
    const latestMs = (iat === undefined ? nowMs : issuedAtMs) + maxLifetimeMs;
    const ownEndMs = exp === undefined ? Number.POSITIVE_INFINITY : exp * SECOND_MS;
    if (iat === undefined && ownEndMs > latestMs + clockToleranceMs) {
      throw new TokenRefused('unusable_claims', 'it lives longer than JWT_MAX_LIFETIME and has no iat');
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
    // Not JSON: the caller refuses the token.
    return undefined;
  }
}

/** Errors about claims are raised only after the signature was verified. */
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

/** The id by which a token can be revoked: its `jti` or, without a usable one, the hash of its bytes. */
function tokenIdOf({ jti }: JWTPayload, token: string): string {
  if (typeof jti === 'string' && TOKEN_ID.test(jti)) return jti;
  return `sha256:${hash('sha256', token, 'base64url')}`;
}
