import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type AccessConfig, toAccessConfig } from './access-config.ts';
import { accessProblems, accessWarnings } from './checks/access-checks.ts';
import type { Finding } from './checks/finding.ts';
import { pathProblems } from './checks/path-checks.ts';
import { ConfigError } from './config-error.ts';
import { loadConfig } from './load-config.ts';
import { type Environment, InvalidValue, type Setting } from './settings/kinds/setting.ts';
import { SETTINGS, VARIABLES, type Values } from './settings/schema.ts';

type Env = Record<string, string>;

const SECRET = 'n4xkQ0sC2m7Vt9LpZb3Hy6Rw1Jd8Fg5A';
const PEM = '-----BEGIN PUBLIC KEY-----\\nMFkw\\n-----END PUBLIC KEY-----';

/** The values of variables before any rule between them is checked. */
function valuesOf(env: Env): Values {
  const environment = { ENVIRONMENT: 'development', ...env }.ENVIRONMENT as Environment;
  return Object.fromEntries(
    VARIABLES.map((variable) => {
      const setting: Setting<unknown> = SETTINGS[variable];
      const text = env[variable];
      const value =
        text === undefined
          ? setting.defaultOf({ environment, packageVersion: '1.0.0' })
          : setting.parse(text);
      if (value instanceof InvalidValue) throw new Error(`${variable}: ${value.problem ?? 'refused'}`);
      return [variable, value];
    }),
  ) as Values;
}

const configOf = (env: Env): AccessConfig => toAccessConfig(valuesOf(env), '/srv');
const findingsOf = (env: Env): Finding[] => accessProblems(valuesOf(env));
const warningsOf = (env: Env): string[] => accessWarnings(valuesOf(env));

function expectFinding(env: Env, variable: string, words: RegExp): void {
  const findings = findingsOf(env);
  expect(findings.map((finding) => finding.variable)).toEqual([variable]);
  expect(findings[0]?.problem).toMatch(words);
}

const USERS = { ENABLE_AUTH: 'true', JWT_SECRET: SECRET };
const KEYS = { ENABLE_API_KEY_AUTH: 'true', API_KEY: SECRET };
const PRODUCTION = { ENVIRONMENT: 'production' };

describe('the configuration of access', () => {
  test('asks for nothing by default', () => {
    expect(configOf({})).toEqual({
      keys: undefined,
      users: undefined,
      tickets: { secret: undefined, ttlMs: 600_000, maxTtlMs: 86_400_000 },
      revocationKeepMs: 2_592_005_000,
      rateLimits: undefined,
    });
    expect([findingsOf({}), warningsOf({})]).toEqual([[], []]);
  });

  test('takes keys from a variable, a list and a file', () => {
    const keys = configOf({ ...KEYS, API_KEYS: '[]', API_KEYS_FILE: 'config/keys.json' }).keys;
    expect(keys).toEqual({ apiKey: SECRET, list: '[]', file: '/srv/config/keys.json' });
  });

  test('verifies JWTs with a secret and HS256 where nothing else is said', () => {
    expect(configOf(USERS).users?.jwt).toEqual({
      source: { kind: 'secret', secret: SECRET },
      algorithms: ['HS256'],
      issuers: [],
      audiences: [],
      clockToleranceMs: 5000,
      maxLifetimeMs: 2_592_000_000,
    });
  });

  test.each<[Env, unknown, string[]]>([
    [{ JWT_PUBLIC_KEY: 'ssl/jwt.pem' }, { kind: 'publicKeyFile', path: '/srv/ssl/jwt.pem' }, ['RS256']],
    [{ JWT_PUBLIC_KEY: PEM }, { kind: 'publicKey', pem: PEM.replaceAll('\\n', '\n') }, ['RS256']],
    [{ JWT_JWKS_URL: 'https://a/jwks' }, { kind: 'jwks', url: 'https://a/jwks' }, ['RS256']],
    [
      { JWT_SECRET: PEM, JWT_ALGORITHM: 'es256, EDDSA' },
      { kind: 'publicKey', pem: PEM.replaceAll('\\n', '\n') },
      ['ES256', 'EdDSA'],
    ],
  ])('verifies JWTs with %j', (env, source, algorithms) => {
    expect(configOf({ ENABLE_AUTH: 'true', ...env }).users?.jwt).toMatchObject({ source, algorithms });
    expect(findingsOf({ ENABLE_AUTH: 'true', ...env })).toEqual([]);
  });

  test('seals tickets with their own secret, or one made from the secret of JWTs, and never from a public key', () => {
    const secretOf = (env: Env) => configOf({ ENABLE_AUTH: 'true', ...env }).tickets.secret;
    expect(secretOf({ JWT_SECRET: SECRET, TICKET_SECRET: 'own' })).toBe('own');
    expect(secretOf({ JWT_SECRET: SECRET })).toBe(SECRET);
    expect(secretOf({ JWT_SECRET: PEM, JWT_ALGORITHM: 'RS256' })).toBeUndefined();
    expect(secretOf({ JWT_PUBLIC_KEY: PEM })).toBeUndefined();
  });

  test('keeps revocations as long as the longest credential', () => {
    const env = { JWT_MAX_LIFETIME: '60', TICKET_TTL: '10', TICKET_MAX_TTL: '120', JWT_CLOCK_TOLERANCE: '0' };
    expect(configOf(env).revocationKeepMs).toBe(120_000);
  });

  test('limits connecting as it limits requests unless it says otherwise', () => {
    const limits = (env: Env) => configOf({ ENABLE_RATE_LIMITING: 'true', ...env }).rateLimits;
    expect(limits({})).toEqual({
      requestsPerMinute: 1000,
      connectsPerMinute: 1000,
      windowMs: 60_000,
      burst: 0,
    });
    expect(limits({ RATE_LIMIT_CONNECTS_PER_MINUTE: '7' })?.connectsPerMinute).toBe(7);
  });
});

describe('what contradicts itself', () => {
  test('is authentication of users by nothing', () => {
    expectFinding({ ENABLE_AUTH: 'true' }, 'ENABLE_AUTH', /JWT_SECRET, JWT_PUBLIC_KEY or JWT_JWKS_URL/);
    expect(findingsOf({ ENABLE_AUTH: 'true', ...KEYS })).toEqual([]);
  });

  test('is a JWT that two keys verify', () => {
    expectFinding({ ...USERS, JWT_JWKS_URL: 'https://a/jwks' }, 'JWT_JWKS_URL', /together with JWT_SECRET/);
    expectFinding({ ...USERS, JWT_PUBLIC_KEY: 'a.pem' }, 'JWT_PUBLIC_KEY', /together with JWT_SECRET/);
  });

  test.each<[string, Env, string]>([
    ['a public key as the secret of HS256', { JWT_SECRET: PEM }, 'JWT_ALGORITHM'],
    ['HS256 with a public key', { JWT_PUBLIC_KEY: PEM, JWT_ALGORITHM: 'HS256' }, 'JWT_ALGORITHM'],
    ['HS512 with a key set', { JWT_JWKS_URL: 'https://a/jwks', JWT_ALGORITHM: 'HS512' }, 'JWT_ALGORITHM'],
    ['both kinds of algorithms', { JWT_SECRET: SECRET, JWT_ALGORITHM: 'HS256,RS256' }, 'JWT_ALGORITHM'],
    ['RS256 with a secret', { JWT_SECRET: SECRET, JWT_ALGORITHM: 'RS256' }, 'JWT_SECRET'],
  ])('is %s', (_, env, variable) => {
    expectFinding({ ENABLE_AUTH: 'true', ...env }, variable, /./);
  });

  test('is authentication by keys without a key', () => {
    expectFinding(
      { ENABLE_API_KEY_AUTH: 'true' },
      'ENABLE_API_KEY_AUTH',
      /API_KEY, API_KEYS or API_KEYS_FILE/,
    );
  });
});

describe('production does not start', () => {
  test.each<[string, Env]>([
    ['API_KEY', { ENABLE_API_KEY_AUTH: 'true', API_KEY: 'your_secure_api_key_here' }],
    ['API_KEY', { ENABLE_API_KEY_AUTH: 'true', API_KEY: 'k3x9q2' }],
    ['JWT_SECRET', { ...KEYS, ENABLE_AUTH: 'true', JWT_SECRET: 'your_jwt_secret_here' }],
    ['JWT_SECRET', { ...KEYS, ENABLE_AUTH: 'true', JWT_SECRET: 'only-31-bytes-are-in-this-secre' }],
    ['TICKET_SECRET', { ...KEYS, ...USERS, TICKET_SECRET: 'changeme' }],
    ['AUTH_WEBHOOK_SECRET', { ...KEYS, ...USERS, AUTH_WEBHOOK_SECRET: 'secret' }],
    ['REDIS_PASSWORD', { ...KEYS, MESSAGE_QUEUE_TYPE: 'redis', REDIS_PASSWORD: 'your_secure_password' }],
    ['REDIS_URL', { ...KEYS, MESSAGE_QUEUE_TYPE: 'redis', REDIS_URL: 'redis://:your_secure_password@r' }],
    [
      'REDIS_SENTINEL_PASSWORD',
      {
        ...KEYS,
        MESSAGE_QUEUE_TYPE: 'redis',
        REDIS_MODE: 'sentinel',
        REDIS_SENTINEL_PASSWORD: 'your_secure_password',
      },
    ],
  ])('with a %s of an example or too short, which development takes', (variable, env) => {
    expectFinding({ ...PRODUCTION, ...env }, variable, /example|at least/);
    expect(findingsOf(env)).toEqual([]);
  });

  test('while anybody may publish, unless that is said', () => {
    expectFinding(PRODUCTION, 'ENABLE_API_KEY_AUTH', /publish and read every stream.*ALLOW_ANONYMOUS=true/);
    expectFinding({ ...PRODUCTION, ...USERS }, 'ENABLE_API_KEY_AUTH', /anybody could publish;/);
    expect(findingsOf({ ...PRODUCTION, ALLOW_ANONYMOUS: 'true' })).toEqual([]);
    expect(findingsOf({ ...PRODUCTION, ...USERS, ALLOW_ANONYMOUS: 'true' })).toEqual([]);
    expect(findingsOf({ ...PRODUCTION, ...KEYS, ...USERS })).toEqual([]);
  });

  test("but with the guide's key alone it does, and says what is open", () => {
    expect(findingsOf({ ...PRODUCTION, ...KEYS })).toEqual([]);
    expect(warningsOf({ ...PRODUCTION, ...KEYS })).toEqual([
      'anybody may open streams of any user and channel while ENABLE_AUTH=false',
    ]);
  });

  test('while anybody could take a heap snapshot, even where the rest is meant', () => {
    const open = { ALLOW_ANONYMOUS: 'true', PROFILING: 'true' };
    expectFinding({ ...PRODUCTION, ...open }, 'PROFILING', /without ENABLE_API_KEY_AUTH=true/);
    expect(findingsOf({ ...PRODUCTION, ...KEYS, PROFILING: 'true' })).toEqual([]);
    expect(findingsOf(open)).toEqual([]);
  });

  test('and secrets that are not used may be examples', () => {
    const env = { API_KEY: 'changeme', JWT_SECRET: 'changeme', REDIS_PASSWORD: 'changeme' };
    expect(findingsOf({ ...PRODUCTION, ALLOW_ANONYMOUS: 'true', ...env })).toEqual([]);
  });
});

describe('a warning', () => {
  test('says where tickets are good at one node only', () => {
    const redis = {
      ENABLE_AUTH: 'true',
      JWT_PUBLIC_KEY: 'a.pem',
      JWT_ISSUER: 'i',
      MESSAGE_QUEUE_TYPE: 'redis',
    };
    expect(warningsOf(redis)).toEqual([
      'without TICKET_SECRET a ticket is valid only on the node that issued it',
    ]);
    expect(warningsOf({ ...redis, TICKET_SECRET: SECRET })).toEqual([]);
  });

  test('says that any issuer counts, and that a secret is an example', () => {
    expect(warningsOf({ ENABLE_AUTH: 'true', JWT_SECRET: 'secret' })).toEqual([
      expect.stringContaining('JWT_SECRET is an example'),
      expect.stringContaining('JWT_ISSUER and JWT_AUDIENCE'),
    ]);
  });

  test('says in production what goes over open wires', () => {
    const env = { ...PRODUCTION, ...KEYS, ENABLE_AUTH: 'true', JWT_ISSUER: 'i' };
    const urls = { JWT_JWKS_URL: 'http://login/jwks', AUTH_WEBHOOK_URL: 'https://app/may-join' };
    expect(warningsOf({ ...env, ...urls })).toEqual([
      expect.stringContaining('JWT_JWKS_URL begins with http://'),
    ]);
  });
});

describe('values', () => {
  test.each([
    ['JWT_ALGORITHM', 'none'],
    ['JWT_ALGORITHM', 'HS256,none'],
    ['JWT_ALGORITHM', ','],
    ['JWT_ISSUER', ','],
    ['JWT_PUBLIC_KEY', 'a\nb'],
    ['API_KEYS', '{}'],
    ['API_KEYS', '[1]'],
    ['API_KEYS', 'x'],
    ['AUTH_COOKIE', 'a b'],
    ['AUTH_COOKIE', 'a=b'],
    ['AUTH_WEBHOOK_URL', 'app.example.com'],
  ])('%s=%s is refused', (variable, text) => {
    expect(SETTINGS[variable as keyof typeof SETTINGS].parse(text)).toBeInstanceOf(InvalidValue);
  });

  test('a PEM is shown as it may be written in one line', () => {
    const setting = SETTINGS.JWT_PUBLIC_KEY;
    expect(setting.show(valuesOf({ JWT_PUBLIC_KEY: PEM }).JWT_PUBLIC_KEY)).toBe(PEM);
  });
});

describe('files', () => {
  let rootDir: string;
  beforeEach(() => {
    rootDir = mkdtempSync(path.join(tmpdir(), 'access-config-test-'));
  });
  afterEach(() => rmSync(rootDir, { recursive: true, force: true }));

  test('that cannot be read are named, where they are used', () => {
    const env = { API_KEYS_FILE: 'keys.json', JWT_PUBLIC_KEY: 'jwt.pem' };
    const on = { ...env, ENABLE_AUTH: 'true', ENABLE_API_KEY_AUTH: 'true' };
    expect(pathProblems(valuesOf(env), rootDir)).toEqual([]);
    expect(pathProblems(valuesOf(on), rootDir).map(({ variable }) => variable)).toEqual([
      'API_KEYS_FILE',
      'JWT_PUBLIC_KEY',
    ]);
    writeFileSync(path.join(rootDir, 'keys.json'), '[]');
    writeFileSync(path.join(rootDir, 'jwt.pem'), 'x');
    expect(pathProblems(valuesOf(on), rootDir)).toEqual([]);
  });

  test('and the life of a ticket is bounded by the longest one', () => {
    const problems = (env: Env) => {
      try {
        loadConfig({ env, rootDir, packageVersion: '1.0.0' });
      } catch (error) {
        if (error instanceof ConfigError) return error.problems.map(({ variable }) => variable);
        throw error;
      }
      return [];
    };
    expect(problems({ TICKET_TTL: '20', TICKET_MAX_TTL: '10' })).toEqual([]);
    expect(problems({ TICKET_TTL: '20', TICKET_MAX_TTL: '10', ENABLE_AUTH: 'true' })).toContain(
      'TICKET_MAX_TTL',
    );
  });
});
