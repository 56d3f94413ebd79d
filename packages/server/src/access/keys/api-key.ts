/** API keys: their format, and the hash that is all the service keeps of one. */
import { hash, randomBytes } from 'node:crypto';

/** Prefix of every key that the service makes, so that scanners recognise one in a log or a repository. */
const PREFIX = 'mpk_';
const KEY_BYTES = 32;

/** Makes a new key. Its hash needs neither salt nor stretching: 256 random bits cannot be guessed. */
export function createApiKey(): string {
  return PREFIX + randomBytes(KEY_BYTES).toString('base64url');
}

/** SHA-256, hex. */
export function hashApiKey(key: string): string {
  return hash('sha256', key);
}
