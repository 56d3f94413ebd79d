import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ConfigError, type ConfigProblem } from './config-error.ts';
import { type LoadedConfig, loadConfig } from './load-config.ts';

let rootDir: string;

beforeEach(() => {
  rootDir = mkdtempSync(path.join(tmpdir(), 'config-test-'));
  mkdirSync(path.join(rootDir, 'config'));
});
afterEach(() => rmSync(rootDir, { recursive: true, force: true }));

function load(env: Record<string, string>): LoadedConfig {
  return loadConfig({ env, rootDir, packageVersion: '9.8.7' });
}

function problemsOf(env: Record<string, string>): readonly ConfigProblem[] {
  try {
    load(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

function problemOf(env: Record<string, string>): ConfigProblem {
  const problems = problemsOf(env);
  expect(problems).toHaveLength(1);
  return problems[0] as ConfigProblem;
}

function writeFile(name: string, text: string): void {
  writeFileSync(path.join(rootDir, name), text);
}

describe('defaults', () => {
  test("are the guide's without file and environment", () => {
    const { config, warnings, file } = load({});
    expect(config.service).toMatchObject({
      name: 'message-push-service',
      version: '9.8.7',
      environment: 'development',
      port: 8089,
    });
    expect(config.streams).toMatchObject({ maxConnections: 1000, stallMs: 300_000, heartbeatMs: 30_000 });
    expect(config.history).toMatchObject({ maxMessagesPerChannel: 10_000, messageTtlMs: 3_600_000 });
    expect(config.publishing.maxMessageBytes).toBe(1_048_576);
    expect(config.metrics).toEqual({ isEnabled: true, host: '0.0.0.0', port: 9090 });
    expect(config.log).toEqual({
      level: 'INFO',
      format: 'colored',
      file: path.join(rootDir, 'logs/message-push-service.log'),
      isRotated: true,
      maxBytes: 10_485_760,
      backups: 5,
    });
    expect(config.engine.dataDir).toBe(path.join(rootDir, 'data'));
    expect({ warnings, file }).toEqual({ warnings: [], file: undefined });
  });

  test('in production log JSON and let in pages of the own origin only', () => {
    const { config } = load({ ENVIRONMENT: 'production', ALLOW_ANONYMOUS: 'true' });
    expect([config.log.format, config.http.allowedOrigins]).toEqual(['json', []]);
    expect(load({}).config.http.allowedOrigins).toBe('*');
  });

  test('zero means no limit where the reference says so', () => {
    const { config } = load({ MAX_CONNECTIONS_PER_USER: '0', STREAM_MAX_AGE: '0', MESSAGE_TTL: '0' });
    expect(config.streams.maxConnectionsPerUser).toBe(0);
    expect(config.streams.maxAgeMs).toBe(0);
    expect(config.history.messageTtlMs).toBe(0);
  });
});

describe('sources', () => {
  test('the process environment wins over the file, the file over the default, and an empty value is unset', () => {
    writeFile('config/development.env', 'SERVICE_PORT=1001\nMAX_CONNECTIONS=7\nHEARTBEAT_INTERVAL=\n');
    const { config, settings, file } = load({ SERVICE_PORT: '1002', MAX_CONNECTIONS: '' });
    expect([config.service.port, config.streams.maxConnections, config.streams.heartbeatMs]).toEqual([
      1002, 7, 30_000,
    ]);
    const sources = Object.fromEntries(settings.map((s) => [s.variable, s.source]));
    expect(sources).toMatchObject({
      SERVICE_PORT: 'environment',
      MAX_CONNECTIONS: 'file',
      HEARTBEAT_INTERVAL: 'default',
    });
    expect(file).toBe(path.join(rootDir, 'config/development.env'));
  });

  test('ENVIRONMENT chooses the file', () => {
    writeFile('config/development.env', 'SERVICE_PORT=1001\n');
    writeFile('config/production.env', 'ENVIRONMENT=production\nSERVICE_PORT=1002\n');
    expect(load({ ENVIRONMENT: 'production', ALLOW_ANONYMOUS: 'true' }).config.service.port).toBe(1002);
  });

  test('a file that the environment chose must not say another environment', () => {
    writeFile('config/development.env', 'ENVIRONMENT=production\nALLOW_ANONYMOUS=true\n');
    expect(problemOf({})).toMatchObject({ variable: 'ENVIRONMENT', value: 'production', source: 'file' });
  });

  test('CONFIG_FILE names another file, which may say the environment', () => {
    writeFile('my.env', 'ENVIRONMENT=production\nALLOW_ANONYMOUS=true\nSERVICE_PORT=1003\n');
    const { config } = load({ CONFIG_FILE: 'my.env' });
    expect([config.service.environment, config.service.port]).toEqual(['production', 1003]);
  });

  test('a CONFIG_FILE that cannot be read is refused', () => {
    expect(problemOf({ CONFIG_FILE: 'none.env' })).toMatchObject({
      variable: 'CONFIG_FILE',
      value: 'none.env',
    });
  });

  test('an unknown name in the file is refused with the name that was meant, in the environment it is ignored', () => {
    writeFile('config/development.env', 'MAX_CONECTIONS=5\nSOMETHING_ELSE=1\nCONFIG_FILE=x\n');
    expect(problemsOf({ MAX_CONECTIONS: '5' }).map((p) => [p.variable, p.problem])).toEqual([
      ['CONFIG_FILE', 'belongs in the process environment, not in a file'],
      ['MAX_CONECTIONS', 'is not a variable of this service; did you mean MAX_CONNECTIONS?'],
      ['SOMETHING_ELSE', 'is not a variable of this service'],
    ]);
  });

  test('a line that is no assignment is refused, comments and quoted lines are not', () => {
    writeFile(
      'config/development.env',
      '# a comment\n\nSERVICE_PORT 8089\nexport SERVICE_NAME="a b" # note\n',
    );
    expect(problemOf({})).toMatchObject({ variable: 'SERVICE_PORT', source: 'file' });
    writeFile('config/development.env', 'JWT_SECRET="-----BEGIN\nabc\n-----END"\n');
    expect(problemsOf({})).toEqual([]);
  });
});

describe('problems', () => {
  test('are all reported at once, each with variable, value and what is allowed', () => {
    const env = {
      SERVICE_PORT: '80x',
      LOG_LEVEL: 'loud',
      MAX_CONNECTIONS: '0',
      ENVIRONMENT: 'staging',
      ENABLE_SSL: 'true',
      WORKER_THREADS: '4',
    };
    expect(problemsOf(env).map((p) => [p.variable, p.value])).toEqual([
      ['ENVIRONMENT', 'staging'],
      ['SERVICE_PORT', '80x'],
      ['MAX_CONNECTIONS', '0'],
      ['LOG_LEVEL', 'loud'],
      ['WORKER_THREADS', '4'],
      ['ENABLE_SSL', 'true'],
    ]);
    expect(() => load(env)).toThrow(
      'SERVICE_PORT=80x (process environment): must be an integer from 0 to 65535 (0: any free port)',
    );
  });

  test('do not repeat themselves in rules with a value that is wrong itself', () => {
    expect(problemOf({ MAX_BATCH_BYTES: 'x', MAX_MESSAGE_SIZE: '16MB' })).toMatchObject({ value: 'x' });
  });

  test('never show a secret', () => {
    const env = { API_KEY: `k${'\0'}`, REDIS_URL: 'http://user:p@ss@redis:6379' };
    expect(problemsOf(env).map((p) => [p.variable, p.value])).toEqual([
      ['API_KEY', '***'],
      ['REDIS_URL', 'http://***@redis:6379'],
    ]);
  });

  test.each(['connection', 'expiring', 'message'])(
    'the name of another event, %s, is refused for errors',
    (name) => {
      expect(problemOf({ SSE_ERROR_EVENT: name }).variable).toBe('SSE_ERROR_EVENT');
    },
  );
});

describe('tracing', () => {
  test('is off, and goes to a collector on this machine once it is on', () => {
    expect(load({}).config.tracing).toBeUndefined();
    expect(load({ ENABLE_TRACING: 'true' }).config.tracing).toEqual({
      url: 'http://127.0.0.1:4318/v1/traces',
      headers: {},
      serviceName: 'message-push-service',
      sampleRatio: 1,
    });
  });

  test('takes the variables of OpenTelemetry and shows no credentials', () => {
    const { config, settings } = load({
      ENABLE_TRACING: 'true',
      OTEL_EXPORTER_OTLP_ENDPOINT: 'https://otel.example/base/',
      OTEL_EXPORTER_OTLP_HEADERS: 'Authorization=Bearer%20abc, x-tenant=7',
      OTEL_SERVICE_NAME: 'push',
      OTEL_TRACES_SAMPLER_ARG: '0.01',
    });
    expect(config.tracing).toEqual({
      url: 'https://otel.example/base/v1/traces',
      headers: { authorization: 'Bearer abc', 'x-tenant': '7' },
      serviceName: 'push',
      sampleRatio: 0.01,
    });
    expect(settings.find((s) => s.variable === 'OTEL_EXPORTER_OTLP_HEADERS')?.shown).toBe('***');
    const whole = { ENABLE_TRACING: 'true', OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://c:1/x' };
    expect(load(whole).config.tracing?.url).toBe('http://c:1/x');
  });

  test.each([
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'collector:4318'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'no-value'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'a=%0d%0a'],
    ['OTEL_TRACES_SAMPLER_ARG', '1.5'],
    ['OTEL_TRACES_SAMPLER_ARG', 'always'],
  ])('refuses %s=%s', (variable, value) => {
    expect(problemOf({ ENABLE_TRACING: 'true', [variable]: value }).variable).toBe(variable);
  });
});

describe('rules between settings', () => {
  test('several processes need the redis engine', () => {
    expect(problemOf({ WORKER_THREADS: '4' })).toMatchObject({ variable: 'WORKER_THREADS', value: '4' });
  });

  test('TLS needs a certificate and its key', () => {
    expect(problemOf({ ENABLE_SSL: 'true' })).toMatchObject({
      variable: 'ENABLE_SSL',
      problem: 'needs SSL_CERT_PATH and SSL_KEY_PATH',
    });
    expect(problemOf({ ENABLE_SSL: 'true', SSL_CERT_PATH: 'cert.pem' }).problem).toBe('needs SSL_KEY_PATH');
    const files = { SSL_CERT_PATH: 'cert.pem', SSL_KEY_PATH: 'key.pem' };
    expect(problemOf({ ENABLE_SSL: 'true', ...files })).toMatchObject({
      variable: 'SSL_CERT_PATH',
      problem: `cannot read ${path.join(rootDir, 'cert.pem')} (ENOENT)`,
    });
    writeFile('cert.pem', 'x');
    writeFile('key.pem', 'y');
    expect(problemOf({ ENABLE_SSL: 'true', ...files }).problem).toMatch(/contains no certificate in PEM$/);
    expect(problemsOf(files)).toEqual([]);
  });

  test('any origin with credentials is refused', () => {
    expect(problemOf({ ALLOWED_ORIGINS: '*', CORS_CREDENTIALS: 'true' }).variable).toBe('CORS_CREDENTIALS');
    expect(problemsOf({ ALLOWED_ORIGINS: 'https://a.example', CORS_CREDENTIALS: 'true' })).toEqual([]);
  });

  test('service and metrics need ports of their own, unless metrics are off', () => {
    expect(problemOf({ METRICS_PORT: '8089' }).variable).toBe('METRICS_PORT');
    expect(problemsOf({ METRICS_PORT: '8089', ENABLE_METRICS: 'false' })).toEqual([]);
    expect(problemsOf({ METRICS_PORT: '0', SERVICE_PORT: '0' })).toEqual([]);
  });

  test('a bound that contradicts another is named after the one that was set', () => {
    expect(problemOf({ MAX_MESSAGE_SIZE: '16MB' })).toMatchObject({
      variable: 'MAX_MESSAGE_SIZE',
      value: '16MB',
    });
    expect(problemOf({ MAX_BATCH_BYTES: '1KB' })).toMatchObject({
      variable: 'MAX_BATCH_BYTES',
      value: '1KB',
    });
  });
});

describe('warnings', () => {
  test('name what is set while its switch is off', () => {
    const { warnings } = load({
      RATE_LIMIT_PER_MINUTE: '10',
      REDIS_PASSWORD: 'x',
      ENABLE_SSL: 'false',
      SSL_KEY_PATH: 'k',
    });
    expect(warnings).toEqual([
      'SSL_KEY_PATH is set but has no effect without ENABLE_SSL=true',
      'RATE_LIMIT_PER_MINUTE is set but has no effect without ENABLE_RATE_LIMITING=true',
      'REDIS_PASSWORD is set but has no effect without MESSAGE_QUEUE_TYPE=redis',
    ]);
  });

  test('DEBUG=true wins over another LOG_LEVEL and says so', () => {
    const { config, warnings } = load({ DEBUG: 'true', LOG_LEVEL: 'error' });
    expect(config.log.level).toBe('DEBUG');
    expect(warnings).toEqual(['LOG_LEVEL=ERROR has no effect with DEBUG=true']);
  });
});
