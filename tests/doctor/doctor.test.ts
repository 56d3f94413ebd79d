/**
 * One thing at a time is configured wrongly, in a real nginx or in the service. The doctor finds that and nothing
 * else; where everything is right, it finds nothing.
 */
import { createHmac } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { examine, runDoctor } from '../support/doctor/run-doctor.ts';
import { AlteredProxy, type ProxyChanges, PUBLIC_HOST } from '../support/nginx/altered-proxy.ts';
import { freePort } from '../support/ports.ts';
import { RedisServer } from '../support/redis/redis-server.ts';
import { standaloneEnv } from '../support/redis/service-env.ts';
import { TestServer, type TestServerOptions } from '../support/service/server.ts';
import { StreamClient } from '../support/streams/stream-client.ts';
import { waitFor } from '../support/wait.ts';

const PUBLIC_URL = `https://${PUBLIC_HOST}`;
const ORIGIN = 'https://app.example.com';
const ENV = { ALLOWED_ORIGINS: ORIGIN, HEARTBEAT_INTERVAL: '1', TRUST_PROXY: '127.0.0.1' };
const MAX_HEADERS = { large_client_header_buffers: '2 1k', client_header_buffer_size: '1k' };
/** Makes nginx buffer even though the service asks it not to. */
const BUFFERING = { proxy_buffering: 'on', proxy_ignore_headers: 'X-Accel-Buffering' };

const TOKEN_SECRET = 'of thirty-two characters and more';

let server: TestServer;
let proxy: AlteredProxy;
let closedPort: number;

beforeAll(async () => {
  server = await TestServer.start({ env: ENV });
  proxy = new AlteredProxy(server.port);
  closedPort = await freePort();
});
afterAll(async () => {
  await proxy.dispose();
  await server.dispose();
});

function argsFor(through: AlteredProxy, service: TestServer): string[] {
  const metrics = `9090:127.0.0.1:${closedPort}`;
  const about = ['--connect', metrics, '--ca', through.certificate, '--origin', ORIGIN, '--seconds', '2'];
  return [
    PUBLIC_URL,
    ...through.detours,
    ...about,
    '--publish-url',
    service.url,
    '--pid',
    String(service.pid),
  ];
}

it('where all is right every check is made and nothing is found', async () => {
  await proxy.start();
  const { status, report } = await examine(argsFor(proxy, server));
  expect(report.findings).toEqual([]);
  expect(report.checks.filter(({ outcome }) => outcome !== 'good')).toEqual([]);
  expect(report).toMatchObject({ ok: true, protocol: 'HTTP/2' });
  expect(status).toBe(0);
});

/** A JWT such as an application issues. */
function tokenOf(user: string): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const nowSeconds = Math.floor(Date.now() / 1000);
  const signed = `${part({ alg: 'HS256' })}.${part({ sub: user, iat: nowSeconds, exp: nowSeconds + 300 })}`;
  return `${signed}.${createHmac('sha256', TOKEN_SECRET).update(signed).digest('base64url')}`;
}

/** Makes nginx answer as the service does when it refuses a stream. */
function refusing(status: number, code: string): NonNullable<ProxyChanges['streams']> {
  const body = { error: true, status_code: status, code, message: 'no', service: 'message-push-service' };
  return {
    proxy_pass: undefined,
    default_type: 'application/json',
    return: `${status} '${JSON.stringify(body)}'`,
  };
}

interface Case {
  readonly name: string;
  readonly nginx: ProxyChanges;
  readonly found: readonly string[];
  /** Part of the line that the doctor tells operators to change. */
  readonly line: string;
}

const CASES: readonly Case[] = [
  {
    name: 'buffers streams',
    nginx: { streams: BUFFERING },
    found: ['buffered'],
    line: 'proxy_buffering off;',
  },
  {
    name: 'fills a small buffer first',
    nginx: {
      streams: {
        ...BUFFERING,
        proxy_buffer_size: '1k',
        proxy_buffers: '2 1k',
        proxy_busy_buffers_size: '1k',
      },
    },
    found: ['buffered'],
    line: 'proxy_buffering off;',
  },
  {
    name: 'compresses streams',
    nginx: { streams: { gzip: 'on', gzip_types: 'text/event-stream', gzip_min_length: '0' } },
    found: ['compressed'],
    line: 'gzip off;',
  },
  {
    name: 'cuts idle streams',
    nginx: { streams: { proxy_read_timeout: '500ms' } },
    found: ['cut'],
    line: 'proxy_read_timeout 86400s;',
  },
  { name: 'has no HTTP/2', nginx: { listen: 'ssl' }, found: ['no_http2'], line: 'http2 on;' },
  {
    name: 'serves streams in the clear',
    nginx: { plain: 'proxy_pass http://message_push_backend;' },
    found: ['plain_http'],
    line: 'return 308 https://$host$request_uri;',
  },
  {
    name: 'redirects to its front page',
    nginx: { plain: 'return 301 https://$host/;' },
    found: ['redirect_lost'],
    line: 'return 308 https://$host$request_uri;',
  },
  {
    name: 'lets caches keep streams',
    nginx: { streams: { 'proxy_hide_header Cache-Control': '', expires: '1h' } },
    found: ['caching'],
    line: 'expires off;',
  },
  {
    name: 'does not pass on Last-Event-ID',
    nginx: { streams: { 'proxy_set_header Last-Event-ID': '""' } },
    found: ['last_event_id_lost'],
    line: 'proxy_set_header Last-Event-ID $http_last_event_id;',
  },
  {
    name: 'does not pass on the query',
    nginx: { streams: { proxy_pass: 'http://message_push_backend$uri' } },
    found: ['query_lost'],
    line: 'proxy_pass http://message_push_backend;',
  },
  {
    name: 'takes small requests only',
    nginx: { server: MAX_HEADERS },
    found: ['header_limit', 'url_limit'],
    line: 'large_client_header_buffers 4 16k;',
  },
  {
    name: 'answers CORS beside the service',
    nginx: { streams: { 'add_header Access-Control-Allow-Origin': '*' } },
    found: ['cors_doubled'],
    line: 'add_header Access-Control-Allow-Origin',
  },
  {
    name: 'hides Vary',
    nginx: { streams: { 'proxy_hide_header Vary': '' } },
    found: ['cors_vary'],
    line: 'proxy_hide_header Vary;',
  },
  {
    name: 'refuses preflights',
    nginx: { streamLines: 'if ($request_method = OPTIONS) { return 405; }' },
    found: ['cors_preflight'],
    line: 'OPTIONS must reach the service',
  },
  {
    name: 'lets every origin in with cookies',
    nginx: {
      streams: {
        'proxy_hide_header Access-Control-Allow-Origin': '',
        'add_header Access-Control-Allow-Origin': '$http_origin',
        'add_header Access-Control-Allow-Credentials': 'true',
      },
    },
    found: ['cors_any_origin'],
    line: 'ALLOWED_ORIGINS=',
  },
  {
    name: 'lets nobody in',
    nginx: { streams: { deny: 'all' } },
    found: ['refused_by_proxy'],
    line: 'allow all;',
  },
  {
    name: 'takes credentials away, and the service asks for one',
    nginx: { streams: refusing(401, 'unauthorized') },
    found: ['unauthorized'],
    line: 'proxy_set_header Authorization $http_authorization;',
  },
  {
    name: 'passes on a credential that is not enough',
    nginx: { streams: refusing(403, 'forbidden') },
    found: ['forbidden'],
    line: '--user ID',
  },
  {
    name: 'makes all users one for the limits of the service',
    nginx: { streams: refusing(429, 'too_many_requests') },
    found: ['rate_limited'],
    line: 'RATE_LIMIT_CONNECTS_PER_MINUTE=',
  },
  {
    name: 'shows the API to everybody',
    nginx: { api: 'proxy_pass http://message_push_backend;' },
    found: ['api_public'],
    line: 'deny all;',
  },
  {
    name: 'leads nowhere',
    // The discard port: nothing listens on it.
    nginx: { upstreamPort: 9 },
    found: ['bad_gateway'],
    line: 'upstream message_push_backend',
  },
];

describe('nginx', () => {
  it.each(CASES)('$name', async ({ nginx, found, line }) => {
    await proxy.start(nginx);
    const { status, report } = await examine(argsFor(proxy, server));
    expect(report.findings.map(({ code }) => code)).toEqual(found);
    expect(report.findings.flatMap(({ fixes }) => fixes).some((fix) => fix.line.includes(line))).toBe(true);
    expect(report.ok).toBe(false);
    expect(status).toBe(1);
  });

  it('shows the metrics to everybody, by their path and by their port', async () => {
    await proxy.start({
      locations: `location = /metrics { proxy_pass http://127.0.0.1:${server.metricsPort}; }`,
    });
    const byPath = await examine(argsFor(proxy, server));
    expect(byPath.report.findings.map(({ code }) => code)).toEqual(['metrics_public']);
    await proxy.start();
    const open = argsFor(proxy, server).map((arg) =>
      arg.startsWith('9090:') ? `9090:127.0.0.1:${server.metricsPort}` : arg,
    );
    const byPort = await examine(open);
    expect(byPort.report.findings.map(({ code }) => code)).toEqual(['metrics_port_public']);
  });

  it('shows the details of the health, which is worth a note and no failure', async () => {
    await proxy.start({ health: 'proxy_pass http://message_push_backend;' });
    const { status, report } = await examine(argsFor(proxy, server));
    expect(report.findings.map(({ code, severity }) => [code, severity])).toEqual([
      ['health_public', 'notice'],
    ]);
    expect(report.ok).toBe(true);
    expect(status).toBe(0);
  });
});

describe('the service', () => {
  let service: TestServer | undefined;
  let front: AlteredProxy | undefined;
  let redis: RedisServer | undefined;
  let stream: StreamClient | undefined;
  afterEach(async () => {
    stream?.close();
    await front?.dispose();
    await service?.dispose();
    await redis?.dispose();
    stream = undefined;
    redis = undefined;
  });

  async function examined(options: TestServerOptions, isolate?: (s: TestServer) => Promise<void>) {
    service = await TestServer.start({ ...options, env: { ...ENV, ...options.env } });
    front = new AlteredProxy(service.port);
    await front.start();
    await isolate?.(service);
    return (await examine(argsFor(front, service))).report.findings.map(({ code, text }) => ({
      code,
      text,
    }));
  }

  it('does not allow the origin', async () => {
    const [finding, ...others] = await examined({ env: { ALLOWED_ORIGINS: 'https://other.example.com' } });
    expect(finding?.code).toBe('cors_refused');
    expect(others).toEqual([]);
  });

  it('does not take large requests', async () => {
    const findings = await examined({ env: { MAX_HEADER_BYTES: '4KB' } });
    expect(findings).toEqual([{ code: 'header_limit', text: expect.stringContaining('431') }]);
  });

  it('has another time', async () => {
    const shifted = new URL('../support/doctor/shifted-clock.ts', import.meta.url);
    const findings = await examined({ env: { NODE_OPTIONS: `--import=${shifted}` } });
    expect(findings).toEqual([
      { code: 'clock_skew', text: expect.stringMatching(/ (119\.9|120(\.\d)?) s ahead/) },
    ]);
  });

  it('has a short backlog', async () => {
    expect(await examined({ env: { LISTEN_BACKLOG: '16' } })).toMatchObject([{ code: 'listen_backlog' }]);
  });

  it('may open too few files', async () => {
    const findings = await examined({ launcher: ['prlimit', '--nofile=512:512'] });
    expect(findings).toEqual([
      { code: 'file_descriptors', text: expect.stringContaining('may open 512 files; ') },
    ]);
  });

  it('is full', async () => {
    const findings = await examined({ env: { MAX_CONNECTIONS: '1' } }, async ({ port }) => {
      stream = new StreamClient({ port, path: '/sse/stream?channels=c' });
      await stream.opened();
    });
    expect(findings).toEqual([
      { code: 'turned_away', text: expect.stringContaining('too_many_connections') },
    ]);
  });

  it('has lost its Redis', async () => {
    const lost = await RedisServer.start();
    redis = lost;
    const findings = await examined({ env: standaloneEnv(lost) }, async (s) => {
      await lost.stop();
      await waitFor('the service to notice', async () => (await s.readiness()) === 503);
    });
    expect(findings.map(({ code }) => code)).toContain('not_ready');
  });

  it('asks for credentials: none, one for another user, and those that are right', async () => {
    const key = 'a-key-of-sixteen-and-more';
    service = await TestServer.start({
      env: {
        ...ENV,
        ENABLE_AUTH: 'true',
        JWT_SECRET: TOKEN_SECRET,
        ENABLE_API_KEY_AUTH: 'true',
        API_KEY: key,
      },
    });
    front = new AlteredProxy(service.port);
    await front.start();
    const args = argsFor(front, service);
    const codes = async (...more: string[]): Promise<string[]> =>
      (await examine([...args, ...more])).report.findings.map(({ code }) => code);
    expect(await codes()).toEqual(['unauthorized']);
    expect(await codes('--token', tokenOf('alice'), '--user', 'bob')).toEqual(['forbidden']);
    expect(await codes('--token', tokenOf('alice'))).toEqual(['publish_refused']);
    expect(await codes('--token', tokenOf('alice'), '--key', key)).toEqual([]);
  });

  it('is not there', async () => {
    const findings = await examine([`http://127.0.0.1:${closedPort}`]);
    expect(findings.report.findings.map(({ code }) => code)).toEqual(['unreachable']);
  });
});

describe('the report', () => {
  it('is for people too, in the language of their locale, with where to change what', async () => {
    await proxy.start({ listen: 'ssl' });
    const args = argsFor(proxy, server);
    const english = await runDoctor(args);
    expect(english.stdout).toMatch(/^ {2}✗ TLS and HTTP\/2$/m);
    expect(english.stdout).toMatch(/^ {2}✓ a reconnect resumes the stream$/m);
    expect(english.stdout).toMatch(
      /^✗ No HTTP\/2: at most six streams per browser {2}\[no_http2\]\n {4}.*\n {4}nginx, server:\n {8}http2 on;$/m,
    );
    const chinese = await runDoctor(args, { LC_ALL: 'zh_CN.UTF-8' });
    expect(chinese.stdout).toMatch(
      /^✗ 未启用 HTTP\/2.*\[no_http2\]\n.*\n {4}nginx，server 块[:：]\n {8}http2 on;$/m,
    );
    expect([english.status, chinese.status]).toEqual([1, 1]);
  });

  it.each([
    { args: [], says: 'give the URL' },
    { args: ['push.example.com'], says: 'must start with https:// or http://' },
    { args: [PUBLIC_URL, '--seconds', 'x'], says: '--seconds must be a whole number' },
    { args: [PUBLIC_URL, '--origin', `${ORIGIN}/path`], says: '--origin must be only scheme, host and port' },
    { args: [PUBLIC_URL, '--connect', 'x'], says: '--connect must be [PORT:]HOST:PORT' },
  ])('of wrong arguments is what is right: $args', async ({ args, says }) => {
    const { status, stderr } = await runDoctor(args);
    expect(stderr).toContain(says);
    expect(stderr).toContain('Usage: npm run doctor');
    expect(status).toBe(2);
  });
});
