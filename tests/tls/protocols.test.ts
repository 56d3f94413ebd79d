/** The protocols of the TLS port, with curl and openssl as clients: both HTTP versions and nothing else. */
import { execFile } from 'node:child_process';
import { connect } from 'node:tls';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { request } from '../support/http/http.ts';
import { TestServer } from '../support/service/server.ts';
import { TestAuthority, type TestCertificate, tlsEnv } from '../support/tls/certificates.ts';
import { within } from '../support/wait.ts';

const run = promisify(execFile);
let authority: TestAuthority;
let server: TestServer;
let own: TestCertificate;

beforeAll(async () => {
  authority = new TestAuthority();
  own = authority.issue('own');
  server = await TestServer.start({
    env: { ...tlsEnv(own), HSTS_MAX_AGE: '3600', ALLOWED_ORIGINS: 'https://*.example.com' },
  });
});
afterAll(async () => {
  await server?.dispose();
  authority?.dispose();
});

/** The output of curl and its status. */
async function curl(...args: string[]): Promise<{ output: string; code: number }> {
  const all = ['-sS', '-m', '5', '--cacert', authority.ca, ...args];
  try {
    const { stdout } = await run('curl', all, { timeout: 10_000 });
    return { output: stdout, code: 0 };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { output: stdout + stderr, code };
  }
}

describe.each([
  ['--http2', '2', 'HTTP/2 200'],
  ['--http1.1', '1.1', 'HTTP/1.1 200 OK'],
])('curl %s', (flag, version, statusLine) => {
  it('gets answers, over the certificate of the authority that it trusts', async () => {
    const { output } = await curl(flag, '-w', '\n%{http_version}', `${server.url}/sse/health/live`);
    expect(output.endsWith(`\n${version}`)).toBe(true);
    expect(output).toContain('"status"');
  });

  it('publishes, and reads what was published from a stream', async () => {
    const message = {
      type: 'info',
      service: 's',
      target: { user_id: `curl${version}` },
      data: { number: 1 },
    };
    const json = ['-H', 'Content-Type: application/json', '-d', JSON.stringify(message)];
    const published = await curl(flag, ...json, `${server.url}/sse/api/v1/messages/send`);
    expect(JSON.parse(published.output)).toMatchObject({ success: true, ack: 'stored' });
    const stream = await curl(flag, '-N', '-i', '-m', '1', `${server.url}/sse/user/curl${version}?since=all`);
    expect(stream.output.startsWith(statusLine)).toBe(true);
    expect(stream.output).toMatch(/^content-type: text\/event-stream/im);
    expect(stream.output).toMatch(/^x-connection-id: /im);
    expect(stream.output).toContain('event: info\n');
    expect(/^connection:/im.test(stream.output)).toBe(version === '1.1');
  });

  it('is told to stay with HTTPS, on every kind of answer', async () => {
    for (const path of ['/sse/health', '/nothing', '/docs/', '/sse/user/a?since=never', '/sse/user/a']) {
      const { output } = await curl(flag, '-i', '-N', '-m', '1', server.url + path);
      expect(output, path).toMatch(/^strict-transport-security: max-age=3600\r$/im);
    }
  });

  it('gets streams that vary by origin, and only pages of the pattern may read them', async () => {
    const asked = async (origin: string): Promise<string> =>
      (await curl(flag, '-i', '-N', '-m', '1', '-H', `Origin: ${origin}`, `${server.url}/sse/user/a`)).output;
    const allowed = await asked('https://app.example.com');
    expect(allowed).toMatch(/^access-control-allow-origin: https:\/\/app\.example\.com\r$/im);
    expect(allowed).toMatch(/^vary: Origin\r$/im);
    const other = await asked('https://evilexample.com');
    expect(other).not.toMatch(/^access-control-allow-origin/im);
    expect(other).toMatch(/^vary: Origin\r$/im);
  });

  it('is refused by the same words', async () => {
    const { output } = await curl(flag, '-i', `${server.url}/sse/user/a?since=never`);
    expect(output).toMatch(/^HTTP\/\S+ 422/);
    expect(output).toContain('"code":"validation_failed"');
  });
});

it('TLS 1.1 is refused, 1.2 and 1.3 are spoken', async () => {
  const handshake = (version: 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3'): Promise<string> =>
    within(
      'a handshake',
      5000,
      new Promise((resolve) => {
        const socket = connect({
          port: server.port,
          host: '127.0.0.1',
          rejectUnauthorized: false,
          minVersion: version,
          maxVersion: version,
          // OpenSSL 3 speaks TLS 1.1 only at security level 0.
          ciphers: 'DEFAULT@SECLEVEL=0',
        });
        socket.on('secureConnect', () => {
          resolve(String(socket.getProtocol()));
          socket.destroy();
        });
        socket.on('error', (error: NodeJS.ErrnoException) => resolve(String(error.code)));
      }),
    );
  expect(await handshake('TLSv1.1')).toMatch(/PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/);
  expect(await handshake('TLSv1.2')).toBe('TLSv1.2');
  expect(await handshake('TLSv1.3')).toBe('TLSv1.3');
});

it('a client that speaks another protocol is refused in the handshake, one that names none speaks HTTP/1.1', async () => {
  const chosen = (protocols: string[]): Promise<string> =>
    within(
      'a handshake',
      5000,
      new Promise((resolve) => {
        const socket = connect({
          port: server.port,
          host: '127.0.0.1',
          rejectUnauthorized: false,
          ...(protocols.length > 0 && { ALPNProtocols: protocols }),
        });
        let text = '';
        socket.on('secureConnect', () => socket.write('GET /sse/health/live HTTP/1.1\r\nHost: a\r\n\r\n'));
        socket.on('data', (chunk: Buffer) => {
          text += chunk.toString('latin1');
          if (!text.includes('\r\n')) return;
          socket.destroy();
          resolve(text.slice(0, text.indexOf('\r\n')));
        });
        socket.on('error', (error: NodeJS.ErrnoException) => resolve(String(error.code)));
      }),
    );
  expect(await chosen(['spdy/3'])).toMatch(/NO_APPLICATION_PROTOCOL/);
  expect(await chosen([])).toBe('HTTP/1.1 200 OK');
  expect(await chosen(['http/1.1'])).toBe('HTTP/1.1 200 OK');
});

it('plain HTTP on the TLS port is told what is wrong', async () => {
  const answer = await request(`http://127.0.0.1:${server.port}/sse/health`);
  expect(answer.status).toBe(400);
  expect(JSON.parse(answer.text)).toMatchObject({ error: true, message: 'this port speaks HTTPS only' });
});

it('with authorities of clients, only those with a certificate of theirs come in', async () => {
  const client = authority.issue('client');
  const foreign = new TestAuthority();
  const closed = await TestServer.start({ env: tlsEnv(own) });
  try {
    await closed.stop();
    closed.spawnWith({ SSL_CA_PATH: authority.ca });
    const live = `https://127.0.0.1:${closed.port}/sse/health/live`;
    const withCertificate = ['--cert', client.cert, '--key', client.key];
    const retry = [
      '--retry',
      '20',
      '--retry-delay',
      '1',
      '--retry-connrefused',
      '--retry-max-time',
      '20',
      '-m',
      '20',
    ];
    for (const flag of ['--http2', '--http1.1']) {
      const answer = await curl(flag, ...retry, ...withCertificate, live);
      expect(answer).toMatchObject({ code: 0, output: expect.stringContaining('"status"') });
      expect((await curl(flag, live)).code).not.toBe(0);
      const other = foreign.issue('client');
      expect((await curl(flag, '--cert', other.cert, '--key', other.key, live)).code).not.toBe(0);
    }
  } finally {
    await closed.dispose();
    foreign.dispose();
  }
});
