import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ConfigError, type ConfigProblem } from './config-error.ts';
import { loadConfig } from './load-config.ts';
import type { RedisConfig } from './redis-config.ts';

type Env = Record<string, string>;

let rootDir: string;

beforeEach(() => {
  rootDir = mkdtempSync(path.join(tmpdir(), 'redis-config-test-'));
});
afterEach(() => rmSync(rootDir, { recursive: true, force: true }));

const load = (env: Env) =>
  loadConfig({ env: { MESSAGE_QUEUE_TYPE: 'redis', ...env }, rootDir, packageVersion: '1.0.0' });

function redisOf(env: Env): RedisConfig {
  const { redis } = load(env).config.engine;
  if (redis === undefined) throw new Error('there is no configuration of redis');
  return redis;
}

function problemsOf(env: Env): readonly ConfigProblem[] {
  try {
    load(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

function expectProblem(env: Env, variable: string, words: string): void {
  const problems = problemsOf(env);
  expect(problems.map((p) => p.variable)).toEqual([variable]);
  expect(problems[0]?.problem).toContain(words);
}

const SENTINEL = { REDIS_MODE: 'sentinel', REDIS_NODES: 's1:26379, s2:26379' };

describe('the redis engine', () => {
  test('is configured by its defaults, and the embedded one has none of it', () => {
    expect(redisOf({})).toEqual({
      mode: 'standalone',
      nodes: [{ host: 'localhost', port: 6379 }],
      sentinelMaster: 'mymaster',
      database: 5,
      keyPrefix: 'mps:',
      connectTimeoutMs: 5000,
      socketTimeoutMs: 5000,
      maxConnections: 50,
      ackReplicas: 1,
    });
    expect(load({ MESSAGE_QUEUE_TYPE: 'embedded' }).config.engine.redis).toBeUndefined();
  });

  test('is one server by host and port, with credentials', () => {
    const env = {
      REDIS_HOST: 'r',
      REDIS_PORT: '6380',
      REDIS_DB: '2',
      REDIS_USERNAME: 'u',
      REDIS_PASSWORD: 'p',
    };
    expect(redisOf(env)).toMatchObject({
      nodes: [{ host: 'r', port: 6380 }],
      database: 2,
      username: 'u',
      password: 'p',
    });
  });

  test('is a master that sentinels know', () => {
    expect(
      redisOf({
        ...SENTINEL,
        REDIS_SENTINEL_MASTER: 'm',
        REDIS_SENTINEL_USERNAME: 'su',
        REDIS_SENTINEL_PASSWORD: 'sp',
      }),
    ).toMatchObject({
      mode: 'sentinel',
      nodes: [
        { host: 's1', port: 26379 },
        { host: 's2', port: 26379 },
      ],
      sentinelMaster: 'm',
      sentinelUsername: 'su',
      sentinelPassword: 'sp',
    });
  });

  test('is a cluster by some of its nodes or by one, in its only database', () => {
    const nodes = redisOf({ REDIS_MODE: 'cluster', REDIS_NODES: 'a:1,[fd00::1]:2,a:1', REDIS_DB: '0' });
    expect(nodes).toMatchObject({
      mode: 'cluster',
      database: 0,
      nodes: [
        { host: 'a', port: 1 },
        { host: 'fd00::1', port: 2 },
      ],
    });
    expect(redisOf({ REDIS_MODE: 'cluster', REDIS_HOST: 'c' })).toMatchObject({
      database: 0,
      nodes: [{ host: 'c', port: 6379 }],
    });
    expect(redisOf({ REDIS_MODE: 'cluster', REDIS_URL: 'rediss://c/0' })).toMatchObject({
      database: 0,
      nodes: [{ host: 'c', port: 6379 }],
      tls: { verify: true },
    });
  });

  test('may run in several processes, with replicated messages', () => {
    const { config } = load({ WORKER_THREADS: '4', ACK_LEVEL: 'replicated', ACK_REPLICAS: '2' });
    expect(config.service.workers).toBe(4);
    expect(config.publishing.ackLevel).toBe('replicated');
    expect(config.engine.redis?.ackReplicas).toBe(2);
  });
});

describe('REDIS_URL', () => {
  test('wins where it says something, and leaves the rest to the variables', () => {
    const env = { REDIS_HOST: 'h', REDIS_PORT: '1', REDIS_DB: '3', REDIS_USERNAME: 'u', REDIS_PASSWORD: 'p' };
    expect(redisOf({ ...env, REDIS_URL: 'redis://r' })).toMatchObject({
      nodes: [{ host: 'r', port: 6379 }],
      database: 3,
      username: 'u',
      password: 'p',
    });
    const all = redisOf({ ...env, REDIS_URL: 'rediss://:q@r:2/4' });
    expect(all).toMatchObject({ nodes: [{ host: 'r', port: 2 }], database: 4, password: 'q', tls: {} });
    expect(all).not.toHaveProperty('username');
  });

  test('outdoes other variables with a warning, unless they say the same', () => {
    const env = { REDIS_HOST: 'h', REDIS_DB: '3', REDIS_PASSWORD: 'p', REDIS_TLS: 'false' };
    expect(load({ ...env, REDIS_URL: 'rediss://:q@r:6379/4' }).warnings).toEqual(
      ['REDIS_HOST', 'REDIS_DB', 'REDIS_PASSWORD', 'REDIS_TLS'].map(
        (variable) => `${variable} is set but has no effect: REDIS_URL overrides it`,
      ),
    );
    expect(load({ REDIS_HOST: 'r', REDIS_DB: '5', REDIS_URL: 'redis://r/5' }).warnings).toEqual([]);
  });

  test('is refused with its password masked', () => {
    const [problem] = problemsOf({ REDIS_URL: 'redis://u:hush@r/x' });
    expect(problem).toMatchObject({ variable: 'REDIS_URL', value: 'redis://***@r/x' });
    expect(problem?.problem).toBe(
      'what follows the host is not a database number from 0 to 65535; must be ' +
        'redis://[[user]:password@]host[:port][/database], or rediss:// for TLS, with special characters in user and password percent-encoded',
    );
  });
});

describe('what contradicts itself stops the start', () => {
  test.each<[string, Env, string, string]>([
    ['sentinel mode without sentinels', { REDIS_MODE: 'sentinel' }, 'REDIS_MODE', 'needs REDIS_NODES'],
    [
      'nodes of a single server',
      { REDIS_NODES: 'a:1,b:2' },
      'REDIS_NODES',
      'must not be set with REDIS_MODE=standalone',
    ],
    [
      'a URL beside sentinels',
      { ...SENTINEL, REDIS_URL: 'redis://r' },
      'REDIS_URL',
      'must not be set with REDIS_MODE=sentinel',
    ],
    [
      'a URL beside nodes of a cluster',
      { REDIS_MODE: 'cluster', REDIS_NODES: 'a:1', REDIS_URL: 'redis://r' },
      'REDIS_URL',
      'must not be set together with REDIS_NODES',
    ],
    [
      'another database in a cluster',
      { REDIS_MODE: 'cluster', REDIS_DB: '5' },
      'REDIS_DB',
      'must be 0 with REDIS_MODE=cluster',
    ],
    [
      'another database in the URL of a cluster',
      { REDIS_MODE: 'cluster', REDIS_URL: 'redis://r/5' },
      'REDIS_URL',
      'must name database 0 or none with REDIS_MODE=cluster',
    ],
    ['a user without a password', { REDIS_USERNAME: 'u' }, 'REDIS_USERNAME', 'needs REDIS_PASSWORD'],
    [
      'a user of sentinels without a password',
      { ...SENTINEL, REDIS_SENTINEL_USERNAME: 'u' },
      'REDIS_SENTINEL_USERNAME',
      'needs REDIS_SENTINEL_PASSWORD',
    ],
    [
      'TLS beside a URL without it',
      { REDIS_TLS: 'true', REDIS_URL: 'redis://r' },
      'REDIS_TLS',
      'must be false with a REDIS_URL that starts with redis://',
    ],
    [
      'a password on two lines',
      { REDIS_PASSWORD: 'a\nb' },
      'REDIS_PASSWORD',
      'must be 1 to 512 characters on one line',
    ],
  ])('%s', (_, env, variable, words) => expectProblem(env, variable, words));

  test.each(['a{b', 'a}', 'a b', 'a\tb', 'x'.repeat(65)])('REDIS_KEY_PREFIX=%s', (REDIS_KEY_PREFIX) => {
    expectProblem({ REDIS_KEY_PREFIX }, 'REDIS_KEY_PREFIX', '1 to 64 characters without spaces and braces');
  });

  test.each(['a', 'a:', 'a:0', 'a:65536', ':1', 'a:1;b:2', '[a]:1', 'fd00::1:1', ','])(
    'REDIS_NODES=%s',
    (REDIS_NODES) =>
      expectProblem({ REDIS_MODE: 'cluster', REDIS_NODES }, 'REDIS_NODES', 'must be a comma-separated list'),
  );

  test('replicated messages without replicas', () => {
    expectProblem(
      { MESSAGE_QUEUE_TYPE: 'embedded', ACK_LEVEL: 'replicated' },
      'ACK_LEVEL',
      'needs MESSAGE_QUEUE_TYPE=redis',
    );
  });

  test('nothing of it while the embedded engine is used', () => {
    const env = { MESSAGE_QUEUE_TYPE: 'embedded', REDIS_MODE: 'sentinel', REDIS_USERNAME: 'u' };
    expect(problemsOf(env)).toEqual([]);
  });
});

describe('TLS', () => {
  const files = {
    REDIS_TLS_CA_PATH: 'ca.pem',
    REDIS_TLS_CERT_PATH: 'cert.pem',
    REDIS_TLS_KEY_PATH: 'key.pem',
  };
  const writeFiles = () => {
    for (const name of Object.values(files)) writeFileSync(path.join(rootDir, name), 'x');
  };

  test('is off without its switch, and what belongs to it says so', () => {
    const { config, warnings } = load({ REDIS_TLS_CA_PATH: 'none.pem', REDIS_TLS_VERIFY: 'false' });
    expect(config.engine.redis).not.toHaveProperty('tls');
    expect(warnings).toEqual([
      'REDIS_TLS_CA_PATH is set but has no effect without REDIS_TLS=true',
      'REDIS_TLS_VERIFY is set but has no effect without REDIS_TLS=true',
    ]);
  });

  test.each<[string, Env]>([
    ['REDIS_TLS', { REDIS_TLS: 'true' }],
    ['the scheme of REDIS_URL', { REDIS_URL: 'rediss://r' }],
  ])('is switched on by %s, with absolute paths', (_, env) => {
    writeFiles();
    const { config, warnings } = load({ ...env, ...files });
    expect(config.engine.redis?.tls).toEqual({
      ca: path.join(rootDir, 'ca.pem'),
      cert: path.join(rootDir, 'cert.pem'),
      key: path.join(rootDir, 'key.pem'),
      verify: true,
    });
    expect(warnings).toEqual([]);
  });

  test('needs certificate and key together, and files that can be read', () => {
    writeFiles();
    const tls = { REDIS_TLS: 'true' };
    expectProblem(
      { ...tls, REDIS_TLS_CERT_PATH: 'cert.pem' },
      'REDIS_TLS_CERT_PATH',
      'needs REDIS_TLS_KEY_PATH',
    );
    expectProblem(
      { ...tls, REDIS_TLS_KEY_PATH: 'key.pem' },
      'REDIS_TLS_KEY_PATH',
      'needs REDIS_TLS_CERT_PATH',
    );
    const missing = path.join(rootDir, 'no.pem');
    expectProblem(
      { ...tls, REDIS_TLS_CA_PATH: 'no.pem' },
      'REDIS_TLS_CA_PATH',
      `cannot read ${missing} (ENOENT)`,
    );
    expectProblem({ ...tls, REDIS_TLS_CA_PATH: '.' }, 'REDIS_TLS_CA_PATH', '(EISDIR)');
  });
});

describe('warnings', () => {
  test('name what the other engine or another mode would use', () => {
    const { warnings } = load({ DATA_DIR: 'd', HISTORY_MAX_BYTES: '1KB', REDIS_SENTINEL_MASTER: 'm' });
    expect(warnings).toEqual([
      'DATA_DIR is set but has no effect without MESSAGE_QUEUE_TYPE=embedded',
      'HISTORY_MAX_BYTES is set but has no effect without MESSAGE_QUEUE_TYPE=embedded',
      'REDIS_SENTINEL_MASTER is set but has no effect without REDIS_MODE=sentinel',
    ]);
  });

  test('name a host that is not asked', () => {
    expect(load({ ...SENTINEL, REDIS_HOST: 'h' }).warnings).toEqual([
      'REDIS_HOST is set but has no effect: REDIS_NODES overrides it',
    ]);
  });

  test('follow a switch that needs another one', () => {
    const env = { MESSAGE_QUEUE_TYPE: 'embedded', REDIS_TLS: 'true', REDIS_TLS_VERIFY: 'false' };
    expect(load(env).warnings).toEqual([
      'REDIS_TLS is set but has no effect without MESSAGE_QUEUE_TYPE=redis',
      'REDIS_TLS_VERIFY is set but has no effect without MESSAGE_QUEUE_TYPE=redis',
    ]);
  });
});
