/**
 * The valid API keys, by their hashes. Each source (a variable, the file) can be replaced while requests come in; a
 * request sees either the old list or the new one.
 */
import { timingSafeEqual } from 'node:crypto';
import { ChannelSet } from '../channel-set.ts';
import { SCOPES } from '../principal.ts';
import { hashApiKey } from './api-key.ts';
import type { ApiKeyRecord } from './key-list.ts';

/** A longer text cannot be a key and is not hashed. */
const MAX_KEY_CHARS = 4096;

export interface KeyRingOptions {
  readonly now: () => number;
  /** Receives the names of removed keys, so that their streams can be ended. */
  readonly onRemoved?: (names: readonly string[]) => void;
}

export class KeyRing {
  readonly #options: KeyRingOptions;
  readonly #sources = new Map<string, readonly ApiKeyRecord[]>();
  #byHash: ReadonlyMap<string, ApiKeyRecord> = new Map();

  constructor(options: KeyRingOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#byHash.size;
  }

  /**
   * Replaces the keys of `source`. Throws an Error for the operator, and changes nothing, when another source has one
   * of the names or keys.
   */
  replace(source: string, records: readonly ApiKeyRecord[]): void {
    const byHash = new Map<string, ApiKeyRecord>();
    const names = new Map<string, string>();
    const sources = new Map(this.#sources).set(source, records);
    for (const [from, list] of sources) {
      for (const record of list) {
        const other = names.get(record.name);
        if (other !== undefined)
          throw new Error(`${other} and ${from} both have a key named "${record.name}"`);
        if (byHash.has(record.sha256))
          throw new Error(`${from} repeats a key under the name "${record.name}"`);
        names.set(record.name, from);
        byHash.set(record.sha256, record);
      }
    }
    // A key with the same name but another hash is another key.
    const removed = [...this.#byHash].filter(([hash]) => !byHash.has(hash)).map(([, { name }]) => name);
    this.#sources.set(source, records);
    this.#byHash = byHash;
    if (removed.length > 0) this.#options.onRemoved?.(removed);
  }

  /** Returns `undefined` for an unknown key and for an expired one alike. */
  find(key: string): ApiKeyRecord | undefined {
    if (key.length > MAX_KEY_CHARS) return undefined;
    const hash = hashApiKey(key);
    // The time of a lookup by hash reveals nothing about a key, since nobody can choose a hash without knowing its key.
    // The comparison takes constant time all the same, and also happens when nothing was found.
    const found = this.#byHash.get(hash);
    const isEqual = timingSafeEqual(Buffer.from(hash), Buffer.from(found?.sha256 ?? NO_HASH));
    if (found === undefined || !isEqual) return undefined;
    return found.expiresAtMs === undefined || this.#options.now() < found.expiresAtMs ? found : undefined;
  }
}

const NO_HASH = '0'.repeat(64);

/** The record for the key of API_KEY, which may do everything. */
export function masterKey(key: string): ApiKeyRecord {
  return {
    name: 'API_KEY',
    sha256: hashApiKey(key),
    scopes: SCOPES,
    channels: ChannelSet.all,
    expiresAtMs: undefined,
  };
}
