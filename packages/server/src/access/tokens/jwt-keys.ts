/**
 * The keys that verify JWTs: a secret, a public key, or the key set of an issuer. The configuration and the kind of key
 * fix the allowed algorithms; the header of a token only chooses among them.
 */
import { createPublicKey, createSecretKey, type KeyObject } from 'node:crypto';
import { createLocalJWKSet, createRemoteJWKSet, customFetch, type JWTVerifyGetKey } from 'jose';
import { fetchBounded } from '../fetch-bounded.ts';

export type JwtKeySource =
  | { readonly kind: 'secret'; readonly secret: string }
  /** PEM of a public key or a certificate. */
  | { readonly kind: 'publicKey'; readonly pem: string }
  | { readonly kind: 'jwks'; readonly url: string };

export type JwtKeys = KeyObject | JWTVerifyGetKey;

/** The issuer's keys could not be fetched, so tokens can be neither accepted nor refused. */
export class KeysUnavailable extends Error {
  constructor(cause: unknown) {
    super('the keys of JWT_JWKS_URL cannot be fetched', { cause });
    this.name = 'KeysUnavailable';
  }
}

/** Throws an Error for the operator. */
export function createJwtKeys(
  source: JwtKeySource,
  algorithms: readonly string[],
  onError: (error: Error) => void = () => undefined,
): JwtKeys {
  switch (source.kind) {
    case 'secret':
      return createSecretKey(Buffer.from(source.secret, 'utf8'));
    case 'publicKey':
      return publicKey(source.pem, algorithms);
    case 'jwks':
      return remoteKeys(source.url, onError);
  }
}

const MIN_RSA_BITS = 2048;
const CURVES: Readonly<Record<string, string>> = {
  prime256v1: 'ES256',
  secp384r1: 'ES384',
  secp521r1: 'ES512',
};
const RSA_PKCS1 = ['RS256', 'RS384', 'RS512'];
const RSA_PSS = ['PS256', 'PS384', 'PS512'];

function publicKey(pem: string, algorithms: readonly string[]): KeyObject {
  if (pem.includes('PRIVATE KEY')) {
    throw new Error(
      'JWT_PUBLIC_KEY holds a private key; a service that verifies tokens must not be able to issue them',
    );
  }
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch (cause) {
    throw new Error('JWT_PUBLIC_KEY is neither a public key nor a certificate in PEM', { cause });
  }
  const possible = algorithmsOf(key);
  const wrong = algorithms.find((algorithm) => !possible.includes(algorithm));
  if (wrong !== undefined) {
    const allowed =
      possible.length === 0
        ? 'JWTs are not signed with this kind of key'
        : `it can be used with ${possible.join(', ')}`;
    throw new Error(`JWT_PUBLIC_KEY cannot be used with JWT_ALGORITHM ${wrong}; ${allowed}`);
  }
  const bits = key.asymmetricKeyDetails?.modulusLength;
  if (bits !== undefined && bits < MIN_RSA_BITS) {
    throw new Error(`JWT_PUBLIC_KEY has ${bits} bits; RSA keys need at least ${MIN_RSA_BITS}`);
  }
  return key;
}

function algorithmsOf({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): string[] {
  if (type === 'rsa') return [...RSA_PKCS1, ...RSA_PSS];
  if (type === 'ed25519') return ['EdDSA'];
  const algorithm = type === 'ec' ? CURVES[details?.namedCurve ?? ''] : undefined;
  return algorithm === undefined ? [] : [algorithm];
}

const FETCH_TIMEOUT_MS = 5000;
const MAX_KEY_SET_BYTES = 256 * 1024;
/** Interval at which the key set is refreshed, so that withdrawn keys stop being accepted. */
const REFRESH_MS = 10 * 60_000;
/** Shortest time between refreshes that tokens with unknown keys cause. */
const UNKNOWN_KEY_REFRESH_MS = 30_000;
/** Pause after a failure, in which tokens with unknown keys must not add load to a failing issuer. */
const FAILURE_PAUSE_MS = 5000;

function remoteKeys(url: string, onError: (error: Error) => void): JWTVerifyGetKey {
  let triedAtMs = Number.NEGATIVE_INFINITY;
  let failedAtMs = Number.NEGATIVE_INFINITY;
  const keySet = createRemoteJWKSet(new URL(url), {
    // Known keys stay valid while the issuer is unreachable: they are refreshed in the background, no token waits.
    cacheMaxAge: Number.POSITIVE_INFINITY,
    cooldownDuration: UNKNOWN_KEY_REFRESH_MS,
    timeoutDuration: FETCH_TIMEOUT_MS,
    [customFetch]: async (href, { headers, signal }) => {
      triedAtMs = performance.now();
      if (triedAtMs - failedAtMs < FAILURE_PAUSE_MS) throw new KeysUnavailable(undefined);
      try {
        const { status, text } = await fetchBounded(href, { headers, signal }, MAX_KEY_SET_BYTES);
        if (status !== 200) throw new Error(`status ${status}`);
        // Parsed here, so that an error page of a proxy is a failure and not an empty set.
        createLocalJWKSet(JSON.parse(text));
        return new Response(text);
      } catch (cause) {
        failedAtMs = performance.now();
        const error = new KeysUnavailable(cause);
        onError(error);
        throw error;
      }
    },
  });
  return (header, token) => {
    if (keySet.fresh && performance.now() - triedAtMs > REFRESH_MS) {
      // `onError` has reported it; the known keys stay in effect.
      keySet.reload().catch(() => undefined);
    }
    return keySet(header, token);
  };
}
