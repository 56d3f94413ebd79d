/** The typed configuration of authentication and rate limits. */
import path from 'node:path';
import { isSymmetric, type JwtAlgorithm } from './settings/kinds/access-settings.ts';
import type { Values } from './settings/schema.ts';

export interface AccessConfig {
  /** `undefined` when publishers and operators need no key. */
  readonly keys: KeysConfig | undefined;
  /** `undefined` when streams need no credential. */
  readonly users: UsersConfig | undefined;
  readonly tickets: {
    /** `undefined` when each process makes its own. */
    readonly secret: string | undefined;
    readonly ttlMs: number;
    readonly maxTtlMs: number;
  };
  /** Time for which a revocation must be kept. */
  readonly revocationKeepMs: number;
  /** `undefined` without rate limits. */
  readonly rateLimits: RateLimitsConfig | undefined;
}

export interface KeysConfig {
  readonly apiKey: string | undefined;
  /** The JSON of API_KEYS. */
  readonly list: string | undefined;
  /** Absolute path. */
  readonly file: string | undefined;
}

export interface UsersConfig {
  /** `undefined` when users have tickets only. */
  readonly jwt: JwtConfig | undefined;
  readonly cookieName: string | undefined;
  readonly webhook: WebhookConfig | undefined;
}

export interface JwtConfig {
  readonly source:
    | { readonly kind: 'secret'; readonly secret: string }
    | { readonly kind: 'publicKey'; readonly pem: string }
    /** `path` is absolute. */
    | { readonly kind: 'publicKeyFile'; readonly path: string }
    | { readonly kind: 'jwks'; readonly url: string };
  readonly algorithms: readonly JwtAlgorithm[];
  readonly issuers: readonly string[];
  readonly audiences: readonly string[];
  readonly clockToleranceMs: number;
  readonly maxLifetimeMs: number;
}

export interface WebhookConfig {
  readonly url: string;
  readonly secret: string | undefined;
  readonly timeoutMs: number;
  /** 0 disables the cache. */
  readonly cacheMs: number;
}

export interface RateLimitsConfig {
  readonly requestsPerMinute: number;
  readonly connectsPerMinute: number;
  readonly windowMs: number;
  readonly burst: number;
}

const SECOND_MS = 1000;

/** `values` have passed the checks. */
export function toAccessConfig(values: Values, rootDir: string): AccessConfig {
  const ttlMs = values.TICKET_TTL * SECOND_MS;
  const maxTtlMs = values.TICKET_MAX_TTL * SECOND_MS;
  const longestMs = Math.max(values.JWT_MAX_LIFETIME * SECOND_MS, maxTtlMs);
  return {
    keys: values.ENABLE_API_KEY_AUTH
      ? {
          apiKey: values.API_KEY,
          list: values.API_KEYS,
          file: values.API_KEYS_FILE === undefined ? undefined : path.resolve(rootDir, values.API_KEYS_FILE),
        }
      : undefined,
    users: values.ENABLE_AUTH
      ? {
          jwt: toJwtConfig(values, rootDir),
          cookieName: values.AUTH_COOKIE,
          webhook: toWebhookConfig(values),
        }
      : undefined,
    tickets: { secret: ticketSecret(values), ttlMs, maxTtlMs },
    revocationKeepMs: longestMs + values.JWT_CLOCK_TOLERANCE * SECOND_MS,
    rateLimits: values.ENABLE_RATE_LIMITING
      ? {
          requestsPerMinute: values.RATE_LIMIT_PER_MINUTE,
          connectsPerMinute: values.RATE_LIMIT_CONNECTS_PER_MINUTE || values.RATE_LIMIT_PER_MINUTE,
          windowMs: values.RATE_LIMIT_WINDOW * SECOND_MS,
          burst: values.RATE_LIMIT_BURST,
        }
      : undefined,
  };
}

/** Returns the algorithms of JWT_ALGORITHM or, if it is not set, the default for the kind of key. */
export function jwtAlgorithms(values: Values): readonly [JwtAlgorithm, ...JwtAlgorithm[]] {
  const [first, ...others] = values.JWT_ALGORITHM ?? [];
  if (first !== undefined) return [first, ...others];
  return [values.JWT_PUBLIC_KEY === undefined && values.JWT_JWKS_URL === undefined ? 'HS256' : 'RS256'];
}

function toJwtConfig(values: Values, rootDir: string): JwtConfig | undefined {
  const source = jwtSource(values, rootDir);
  if (source === undefined) return undefined;
  return {
    source,
    algorithms: jwtAlgorithms(values),
    issuers: values.JWT_ISSUER ?? [],
    audiences: values.JWT_AUDIENCE ?? [],
    clockToleranceMs: values.JWT_CLOCK_TOLERANCE * SECOND_MS,
    maxLifetimeMs: values.JWT_MAX_LIFETIME * SECOND_MS,
  };
}

function jwtSource(values: Values, rootDir: string): JwtConfig['source'] | undefined {
  const { JWT_SECRET: secret, JWT_PUBLIC_KEY: key, JWT_JWKS_URL: url } = values;
  if (url !== undefined) return { kind: 'jwks', url };
  if (key?.path !== undefined) return { kind: 'publicKeyFile', path: path.resolve(rootDir, key.path) };
  if (key?.pem !== undefined) return { kind: 'publicKey', pem: key.pem };
  if (secret === undefined) return undefined;
  return isSymmetric(jwtAlgorithms(values)[0])
    ? { kind: 'secret', secret }
    : { kind: 'publicKey', pem: secret.replaceAll('\\n', '\n') };
}

/** JWT_SECRET is the fallback, unless it holds a public key, from which no secret can be derived. */
function ticketSecret(values: Values): string | undefined {
  if (values.TICKET_SECRET !== undefined) return values.TICKET_SECRET;
  return isSymmetric(jwtAlgorithms(values)[0]) ? values.JWT_SECRET : undefined;
}

function toWebhookConfig(values: Values): WebhookConfig | undefined {
  if (values.AUTH_WEBHOOK_URL === undefined) return undefined;
  return {
    url: values.AUTH_WEBHOOK_URL,
    secret: values.AUTH_WEBHOOK_SECRET,
    timeoutMs: values.AUTH_WEBHOOK_TIMEOUT * SECOND_MS,
    cacheMs: values.AUTH_WEBHOOK_CACHE_TTL * SECOND_MS,
  };
}
