/** Credentials for tests, made without the service's code, as a back end or an issuer would make them. */
import { createHash, createHmac, randomBytes } from 'node:crypto';

const JWT_SECRET = 'n4xkQ0sC2m7Vt9LpZb3Hy6Rw1Jd8Fg5A';
export const MASTER_KEY = 'mpk_master_8c1f0a5e7b3d4926';
const ISSUER = 'https://login.example.com/';
const AUDIENCE = 'push';
export const COOKIE = 'login';
export const APP_ORIGIN = 'https://app.example.com';

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A JWT that is valid for ten minutes; `claims` override the defaults, and `undefined` removes a claim. */
export function makeJwt(claims: Readonly<Record<string, unknown>>, secret = JWT_SECRET): string {
  const now = Math.floor(Date.now() / 1000);
  const all = {
    iss: ISSUER,
    aud: AUDIENCE,
    iat: now,
    exp: now + 600,
    jti: randomBytes(8).toString('hex'),
    ...claims,
  };
  const input = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(all)}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}

export function secondsFromNow(seconds: number): number {
  return Math.floor(Date.now() / 1000) + seconds;
}

export interface KeyEntry {
  readonly name: string;
  readonly scopes: readonly string[];
  readonly channels: readonly string[];
  readonly expires_at?: string;
}

/** The text of a key, which follows from its name. */
export function keyText(name: string): string {
  return `mpk_${name}_${'x'.repeat(24)}`;
}

export function keyList(entries: readonly KeyEntry[]): string {
  return JSON.stringify(
    entries.map((entry) => ({
      ...entry,
      sha256: createHash('sha256').update(keyText(entry.name)).digest('hex'),
    })),
  );
}

/** Settings of a service that demands credentials from everybody. */
export const CLOSED_ENV = {
  ENABLE_AUTH: 'true',
  ENABLE_API_KEY_AUTH: 'true',
  API_KEY: MASTER_KEY,
  JWT_SECRET,
  JWT_ISSUER: ISSUER,
  JWT_AUDIENCE: AUDIENCE,
  JWT_CLOCK_TOLERANCE: '0',
  AUTH_COOKIE: COOKIE,
  ALLOWED_ORIGINS: APP_ORIGIN,
  CORS_CREDENTIALS: 'true',
} as const;
