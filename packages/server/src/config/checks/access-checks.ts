/**
 * Rules between the variables of authentication, and stricter ones for production. A forgotten line must never leave
 * the service open, or protected only by a secret that everybody knows.
 */

import { jwtAlgorithms } from '../access-config.ts';
import { isSymmetric } from '../settings/kinds/access-settings.ts';
import type { Values, Variable } from '../settings/schema.ts';
import type { Finding } from './finding.ts';
import { isPlaceholder } from './placeholder.ts';

export function accessProblems(values: Values): Finding[] {
  const problems: Finding[] = [];
  if (values.ENABLE_AUTH) problems.push(...userProblems(values));
  if (values.ENABLE_API_KEY_AUTH) problems.push(...keyProblems(values));
  if (values.ENVIRONMENT === 'production') {
    problems.push(...secretProblems(values), ...opennessProblems(values), ...profilingProblems(values));
  }
  return problems;
}

const KEY_SOURCES = ['JWT_SECRET', 'JWT_PUBLIC_KEY', 'JWT_JWKS_URL'] as const;

function userProblems(values: Values): Finding[] {
  const given = KEY_SOURCES.filter((variable) => values[variable] !== undefined);
  const [first, second] = given;
  if (first === undefined) {
    if (values.ENABLE_API_KEY_AUTH) return [];
    const problem =
      'needs JWT_SECRET, JWT_PUBLIC_KEY or JWT_JWKS_URL to verify JWTs, or ENABLE_API_KEY_AUTH=true for back ends that issue tickets';
    return [{ variable: 'ENABLE_AUTH', problem }];
  }
  if (second !== undefined) {
    const problem = `must not be set together with ${first}: JWTs are verified with only one of them`;
    return [{ variable: second, other: first, problem }];
  }
  return algorithmProblems(values, first);
}

function algorithmProblems(values: Values, source: (typeof KEY_SOURCES)[number]): Finding[] {
  const algorithms = jwtAlgorithms(values);
  const symmetric = algorithms.filter(isSymmetric);
  const shown = algorithms.join();
  if (symmetric.length > 0 && symmetric.length < algorithms.length) {
    const problem =
      'must not mix HS algorithms with others: anybody who knows the public key could sign with it as a secret';
    return [{ variable: 'JWT_ALGORITHM', problem }];
  }
  const isSecret = source === 'JWT_SECRET';
  const isPem = isSecret && isPublicPem(values.JWT_SECRET);
  if (symmetric.length > 0 && (!isSecret || isPem)) {
    const what = isPem ? 'JWT_SECRET holds a public key' : `${source} names public keys`;
    const problem = `must be an RS, PS, ES or EdDSA algorithm: ${what}, with which anybody could sign ${shown}`;
    return [{ variable: 'JWT_ALGORITHM', other: source, problem }];
  }
  if (symmetric.length === 0 && isSecret && !isPem) {
    const problem = `must hold a public key in PEM for JWT_ALGORITHM=${shown}; for a secret use HS256, HS384 or HS512`;
    return [{ variable: 'JWT_SECRET', other: 'JWT_ALGORITHM', problem }];
  }
  return [];
}

export function isPublicPem(text: string | undefined): boolean {
  return text?.startsWith('-----BEGIN') ?? false;
}

function keyProblems({ API_KEY: key, API_KEYS: keys, API_KEYS_FILE: file }: Values): Finding[] {
  if (key !== undefined || keys !== undefined || file !== undefined) return [];
  const problem = 'needs API_KEY, API_KEYS or API_KEYS_FILE: without a key nobody could publish';
  return [{ variable: 'ENABLE_API_KEY_AUTH', problem }];
}

const MIN_SECRET_BYTES = 32;
const MIN_API_KEY_BYTES = 16;

/** Checks the secrets that are in use. */
function secretProblems(values: Values): Finding[] {
  const { ENABLE_AUTH: users, ENABLE_API_KEY_AUTH: keys, MESSAGE_QUEUE_TYPE: engine } = values;
  const isRedis = engine === 'redis';
  const isSentinel = isRedis && values.REDIS_MODE === 'sentinel';
  const isHmac = isSymmetric(jwtAlgorithms(values)[0]);
  const used: [Variable, string | undefined, number][] = [
    ['JWT_SECRET', users ? values.JWT_SECRET : undefined, isHmac ? MIN_SECRET_BYTES : 0],
    ['TICKET_SECRET', users ? values.TICKET_SECRET : undefined, MIN_SECRET_BYTES],
    ['AUTH_WEBHOOK_SECRET', users ? values.AUTH_WEBHOOK_SECRET : undefined, 0],
    ['API_KEY', keys ? values.API_KEY : undefined, MIN_API_KEY_BYTES],
    ['REDIS_URL', isRedis ? values.REDIS_URL?.credentials?.password : undefined, 0],
    ['REDIS_PASSWORD', isRedis && !values.REDIS_URL?.credentials ? values.REDIS_PASSWORD : undefined, 0],
    ['REDIS_SENTINEL_PASSWORD', isSentinel ? values.REDIS_SENTINEL_PASSWORD : undefined, 0],
  ];
  return used.flatMap(([variable, value, minBytes]): Finding[] => {
    if (value === undefined) return [];
    if (isPlaceholder(value)) {
      const problem =
        'is an example value, not a secret; generate one for production, for example with `openssl rand -base64 32`';
      return [{ variable, problem }];
    }
    if (Buffer.byteLength(value) >= minBytes) return [];
    // [spec] RFC 7518, 3.2: the key must have at least the size of the hash.
    const problem = `must have at least ${minBytes} bytes in production; generate one with \`openssl rand -base64 32\``;
    return [{ variable, problem }];
  });
}

function opennessProblems(values: Values): Finding[] {
  if (values.ENABLE_API_KEY_AUTH || values.ALLOW_ANONYMOUS) return [];
  const who = values.ENABLE_AUTH ? 'anybody could publish' : 'anybody could publish and read every stream';
  const problem = `must be true in production, or ${who}; set it together with API_KEY, or set ALLOW_ANONYMOUS=true if this is intended`;
  return [{ variable: 'ENABLE_API_KEY_AUTH', problem }];
}

/** Applies even with `ALLOW_ANONYMOUS=true`. */
function profilingProblems(values: Values): Finding[] {
  if (!values.PROFILING || values.ENABLE_API_KEY_AUTH) return [];
  const problem =
    'must be false in production without ENABLE_API_KEY_AUTH=true, or anybody could take a heap snapshot, which holds messages and secrets';
  return [{ variable: 'PROFILING', other: 'ENABLE_API_KEY_AUTH', problem }];
}

/** Configurations that start but may not be what was intended. */
export function accessWarnings(values: Values): string[] {
  const warnings: string[] = [];
  const { ENABLE_AUTH: users, ENABLE_API_KEY_AUTH: keys } = values;
  if (values.ENVIRONMENT === 'production' && keys && !users) {
    warnings.push('anybody may open streams of any user and channel while ENABLE_AUTH=false');
  }
  if (!users) return warnings;
  const { TICKET_SECRET: ticketSecret, JWT_SECRET: jwtSecret } = values;
  if (values.MESSAGE_QUEUE_TYPE === 'redis' && ticketSecret === undefined && !hasOwnSecret(jwtSecret)) {
    warnings.push('without TICKET_SECRET a ticket is valid only on the node that issued it');
  }
  if (jwtSecret !== undefined && values.ENVIRONMENT !== 'production' && isPlaceholder(jwtSecret)) {
    warnings.push('JWT_SECRET is an example value; anybody can make tokens with it');
  }
  const hasTokens = KEY_SOURCES.some((variable) => values[variable] !== undefined);
  if (hasTokens && values.JWT_AUDIENCE === undefined && values.JWT_ISSUER === undefined) {
    warnings.push(
      'every JWT that is signed with the key is accepted, whoever issued it; set JWT_ISSUER and JWT_AUDIENCE',
    );
  }
  for (const variable of ['JWT_JWKS_URL', 'AUTH_WEBHOOK_URL'] as const) {
    if (values.ENVIRONMENT === 'production' && values[variable]?.toLowerCase().startsWith('http://')) {
      warnings.push(`${variable} begins with http://: anybody on the network path can decide who gets in`);
    }
  }
  return warnings;
}

function hasOwnSecret(jwtSecret: string | undefined): boolean {
  return jwtSecret !== undefined && !isPublicPem(jwtSecret);
}
