/** Certificates are checked at the start, renewed under open streams, and watched for their expiry. */
import { chmodSync, copyFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { request } from '../support/http/http.ts';
import { Scrape } from '../support/monitoring/metrics.ts';
import { TestServer } from '../support/service/server.ts';
import { TestAuthority, type TestCertificate, tlsEnv } from '../support/tls/certificates.ts';
import { Http2Client } from '../support/tls/http2-client.ts';
import { waitFor, within } from '../support/wait.ts';

const EXPIRY = 'message_push_certificate_expiry_timestamp_seconds';
const DAY_S = 86_400;

let authority: TestAuthority;
let first: TestCertificate;
let second: TestCertificate;
let short: TestCertificate;
let server: TestServer | undefined;
const clients: Http2Client[] = [];

beforeAll(() => {
  authority = new TestAuthority();
  first = authority.issue('first');
  second = authority.issue('second', 60);
  short = authority.issue('short', 5);
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await server?.dispose();
  server = undefined;
});
afterAll(() => authority?.dispose());

/** Copies of the files of `from` that a test may change. */
function deploy(from: TestCertificate): TestCertificate & { replace(by: TestCertificate): void } {
  const name = `deployed-${Math.random().toString(36).slice(2)}`;
  const files = { cert: join(authority.folder, `${name}.pem`), key: join(authority.folder, `${name}.key`) };
  // As certificate tools do: each file is replaced at once, one after the other.
  const replace = (by: TestCertificate): void => {
    for (const part of ['cert', 'key'] as const) {
      copyFileSync(by[part], `${files[part]}.new`);
      renameSync(`${files[part]}.new`, files[part]);
    }
  };
  replace(from);
  return { ...files, replace };
}

/** The common name of the certificate that a new connection sees. */
function shown(port: number): Promise<string> {
  return within(
    'a handshake',
    5000,
    new Promise((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
      socket.on('secureConnect', () => {
        resolve(String(socket.getPeerCertificate().subject.CN));
        socket.destroy();
      });
      socket.on('error', reject);
    }),
  );
}

it('a renewed certificate is shown to new connections, and no open stream notices', async () => {
  const files = deploy(first);
  server = await TestServer.start({ env: { ...tlsEnv(files), LOG_LEVEL: 'INFO' } });
  const { port, metricsPort, url } = server;
  const client = new Http2Client(url, authority.ca);
  clients.push(client);
  const stream = client.open('/sse/user/a');
  await stream.opened();
  const before = (await Scrape.of(metricsPort)).sum(EXPIRY) ?? 0;
  expect(await shown(port)).toBe('first');

  files.replace(second);
  await waitFor('the new certificate', async () => (await shown(port)) === 'second');
  const after = (await Scrape.of(metricsPort)).sum(EXPIRY) ?? 0;
  expect(Math.round((after - before) / DAY_S)).toBe(30);
  expect(server.output).toContain('the certificate was renewed');

  const body = { type: 'info', service: 's', target: { user_id: 'a' }, data: { number: 1 } };
  await request(`${url}/sse/api/v1/messages/send`, { body });
  await waitFor('a message', () => stream.numbers().length === 1);
  expect(stream.isEnded).toBe(false);
});

it.each([
  ['a key of another certificate', () => ({ cert: second.cert, key: first.key })],
  ['no certificate', () => ({ cert: second.key, key: second.key })],
])('files that are renewed to %s change nothing but the log', async (_, broken) => {
  const files = deploy(first);
  server = await TestServer.start({ env: tlsEnv(files) });
  const { port } = server;
  files.replace(broken());
  const log = (): string => server?.output ?? '';
  await waitFor('an error', () => log().includes('the changed certificate is not used'));
  expect(await shown(port)).toBe('first');
  files.replace(second);
  await waitFor('the new certificate', async () => (await shown(port)) === 'second');
  expect(log().match(/the changed certificate is not used/g)).toHaveLength(1);
});

it('a certificate that ends within two weeks is warned of, and the time of its end is a metric', async () => {
  server = await TestServer.start({ env: tlsEnv(short) });
  await waitFor('a warning', () => server?.output.includes('expires soon'));
  const scrape = await Scrape.of(server.metricsPort);
  expect((scrape.sum(EXPIRY) ?? 0) - Date.now() / 1000).toBeCloseTo(5 * DAY_S, -3);
  expect(scrape.complaints()).toBe('');
});

describe('a start is refused', () => {
  const write = (name: string, text: string): string => {
    const path = join(authority.folder, name);
    writeFileSync(path, text);
    return path;
  };
  it.each<[string, () => Record<string, string>, RegExp]>([
    [
      'without a certificate',
      () => ({ ENABLE_SSL: 'true' }),
      /ENABLE_SSL=true.*needs SSL_CERT_PATH and SSL_KEY_PATH/,
    ],
    [
      'without a readable key',
      () => ({ ...tlsEnv(first), SSL_KEY_PATH: '/nowhere/key.pem' }),
      /SSL_KEY_PATH=.*cannot read \/nowhere\/key\.pem \(ENOENT\)/,
    ],
    [
      'with a key of another certificate',
      () => ({ ...tlsEnv(first), SSL_KEY_PATH: second.key }),
      /SSL_KEY_PATH=.*is not the key of the first certificate/,
    ],
    [
      'with something else for a certificate',
      () => ({ ...tlsEnv(first), SSL_CERT_PATH: write('empty.pem', 'hello') }),
      /SSL_CERT_PATH=.*contains no certificate/,
    ],
    [
      'with something else for authorities',
      () => ({ ...tlsEnv(first), SSL_CA_PATH: write('none.pem', '') }),
      /SSL_CA_PATH=.*contains no certificate/,
    ],
  ])('%s, and the variable is named', async (_, env, problem) => {
    const failing = TestServer.start({ env: env() });
    await expect(failing).rejects.toThrow(problem);
  });
});

it('a key that everybody may read is warned of in production', async () => {
  const files = deploy(first);
  const production = { ENVIRONMENT: 'production', ALLOW_ANONYMOUS: 'true' };
  chmodSync(files.key, 0o644);
  server = await TestServer.start({ env: { ...tlsEnv(files), ...production } });
  expect(server.output).toContain('is readable by every user');
  await server.stop();
  chmodSync(files.key, 0o640);
  await server.start();
  expect(server.output).not.toContain('is readable by every user');
});
