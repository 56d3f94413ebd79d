/** Kinds of settings for authentication. */
import { type About, Default, InvalidValue, type Setting, setting } from './setting.ts';

const ALGORITHMS = [
  'HS256',
  'HS384',
  'HS512',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
] as const;
export type JwtAlgorithm = (typeof ALGORITHMS)[number];

/** Tells whether signing and verifying use the same secret. */
export function isSymmetric(algorithm: JwtAlgorithm): boolean {
  return algorithm.startsWith('HS');
}

type Optional<T> = Omit<About<T | undefined>, 'default'>;

function nothing<T>(text = ''): Default<T | undefined> {
  return new Default<T | undefined>(text, () => undefined);
}

/** The value is `undefined` when the kind of key decides. */
export function optionalAlgorithms(
  about: Optional<readonly JwtAlgorithm[]>,
): Setting<readonly JwtAlgorithm[] | undefined> {
  return setting<readonly JwtAlgorithm[] | undefined>(
    {
      type: 'list',
      allowed: `a comma-separated list of ${ALGORITHMS.join(', ')}`,
      parse: (value) => {
        const names = splitList(value);
        const found = names.map((name) =>
          ALGORITHMS.find((algorithm) => algorithm.toLowerCase() === name.toLowerCase()),
        );
        const wrong = names.find((_, i) => found[i] === undefined);
        if (wrong !== undefined) return new InvalidValue(`"${wrong}" is not an allowed algorithm`);
        return found.length === 0 ? new InvalidValue() : [...new Set(found as JwtAlgorithm[])];
      },
      show: (algorithms) => (algorithms ?? []).join(),
    },
    { ...about, default: nothing('`HS256` with JWT_SECRET, otherwise `RS256`') },
  );
}

export interface PublicKeySource {
  /** The PEM text itself. */
  readonly pem?: string;
  readonly path?: string;
}

/** PEM text, or the path of a PEM file. */
export function optionalPublicKey(about: Optional<PublicKeySource>): Setting<PublicKeySource | undefined> {
  return setting<PublicKeySource | undefined>(
    {
      type: 'path or PEM',
      allowed: 'a path, or PEM that begins with -----BEGIN',
      parse: (value) => {
        if (value.startsWith('-----BEGIN')) return { pem: value.replaceAll('\\n', '\n') };
        return /^[^\0\r\n]{1,4096}$/.test(value) ? { path: value } : new InvalidValue();
      },
      show: (key) => key?.path ?? key?.pem?.replaceAll('\n', '\\n') ?? '',
    },
    { ...about, default: nothing() },
  );
}

/** A comma-separated list of names. */
export function optionalTextList(about: Optional<readonly string[]>): Setting<readonly string[] | undefined> {
  return setting<readonly string[] | undefined>(
    {
      type: 'list',
      allowed: 'a comma-separated list of names or URLs',
      parse: (value) => {
        const list = splitList(value);
        const areGood = list.length > 0 && list.every((entry) => /^[^\p{C}]{1,512}$/u.test(entry));
        return areGood ? list : new InvalidValue();
      },
      show: (list) => (list ?? []).join(),
    },
    { ...about, default: nothing() },
  );
}

/** A JSON array of objects, whose fields are checked where it is used. */
export function optionalKeyList(about: Optional<string>): Setting<string | undefined> {
  return setting<string | undefined>(
    {
      type: 'JSON',
      allowed:
        'a JSON array of objects with name, sha256, scopes (of publish, broadcast, read, manage), channels and, if the key expires, expires_at',
      parse: (value) => (isObjectArray(value) ? value : new InvalidValue()),
    },
    // A hash gives no access, but there is no point in showing one either.
    { ...about, isSecret: true, default: nothing() },
  );
}

function isObjectArray(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every((entry) => typeof entry === 'object' && entry !== null);
  } catch {
    // Not JSON: the caller reports what is allowed.
    return false;
  }
}

function splitList(value: string): string[] {
  return value
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}
