/** API keys: how one looks, and the only form in which the service keeps it. */
import { hash, randomBytes } from 'node:crypto';

/** Begins every key that the service makes, so that one in a log or a repository is known for what it is. */
const PREFIX = 'mpk_';
const KEY_BYTES = 32;

/** A new key. Its hash needs no salt and no stretching, for nobody guesses 256 random bits. */
export function createApiKey(): string {
  return PREFIX + randomBytes(KEY_BYTES).toString('base64url');
}

/** SHA-256, hex. */
export function hashApiKey(key: string): string {
  return hash('sha256', key);
}
