/** Makes JWTs for tests: valid ones, and ones from arbitrary parts. */
import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { type JWTPayload, SignJWT } from 'jose';

export const NOW = Date.UTC(2026, 5, 1, 12);
export const NOW_SECONDS = NOW / 1000;
export const SECRET = 'n4xkQ0sC2m7Vt9LpZb3Hy6Rw1Jd8Fg5A';
export const ISSUER = 'https://login.example.com/';
export const AUDIENCE = 'message-push-service';

export const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
export const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
export const ed = generateKeyPairSync('ed25519');

export function pemOf(key: KeyObject): string {
  return key.export({ type: 'spki', format: 'pem' }) as string;
}

/** Claims that are valid at `NOW`, with the changes of `more`. */
export function goodClaims(more: object = {}): JWTPayload {
  return { sub: '7', iss: ISSUER, aud: AUDIENCE, iat: NOW_SECONDS, exp: NOW_SECONDS + 600, ...more };
}

export function goodToken(
  claims: JWTPayload = goodClaims(),
  key: KeyObject | Uint8Array = Buffer.from(SECRET),
  header: { alg: string; kid?: string; typ?: string } = { alg: 'HS256' },
): Promise<string> {
  return new SignJWT(claims).setProtectedHeader(header).sign(key);
}

/** Encodes text, or the JSON of a value, as base64url. */
export function part(value: unknown): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
}

/** Makes a token from these parts with a correct HMAC, whatever its header says. */
export function hmacToken(header: unknown, claims: unknown, secret: string | Buffer = SECRET): string {
  const input = `${part(header)}.${part(claims)}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}

/** Makes a token from these parts with a correct RSA signature. */
export function rsaToken(header: unknown, claims: unknown, key = rsa.privateKey): string {
  const input = `${part(header)}.${part(claims)}`;
  return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`;
}
