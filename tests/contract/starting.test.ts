/** A start, and refused starts: the refusal names the variable and comes before anything is opened. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freePort } from '../support/ports.ts';
import { SERVER_ENTRY, serverEnv, TestServer } from '../support/service/server.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'message-push-start-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function run(
  env: Readonly<Record<string, string>>,
  ...args: string[]
): { status: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [SERVER_ENTRY, ...args], {
    env: serverEnv(folder, { DATA_DIR: join(folder, 'data'), SERVICE_PORT: '0', METRICS_PORT: '0', ...env }),
    encoding: 'utf8',
    timeout: 15_000,
  });
  return { status, out: stdout, err: stderr };
}

describe('a wrong value', () => {
  it.each([
    ['SERVICE_PORT', '70000', /65535/],
    ['MAX_CONNECTIONS', 'many', /integer/],
    ['HEARTBEAT_INTERVAL', '0', /from 1/],
    ['MESSAGE_QUEUE_TYPE', 'kafka', /embedded, redis/],
    ['LOG_LEVEL', 'LOUD', /DEBUG/],
    ['SSE_EVENT_MODE', 'loud', /named, message, both/],
    ['WORKER_THREADS', '4', /redis/],
    ['ENABLE_SSL', 'true', /needs SSL_CERT_PATH and SSL_KEY_PATH/],
    ['MAX_MESSAGE_SIZE', '1XB', /KB/],
  ])(
    'stops the start, with the variable, the value and what is allowed: %s=%s',
    (variable, value, allowed) => {
      const { status, out, err } = run({ [variable]: value });
      expect(status).toBe(1);
      expect(err + out).toContain(variable);
      expect(err + out).toContain(value);
      expect(err + out).toMatch(allowed);
      expect(existsSync(join(folder, 'data')), 'nothing was opened').toBe(false);
    },
  );

  it('is reported together with all others, those of the file too', () => {
    const file = join(folder, 'my.env');
    writeFileSync(file, 'MAX_CONNECTIONS=-1\nNO_SUCH_VARIABLE=1\n');
    const { status, out, err } = run({ CONFIG_FILE: file, LOG_FORMAT: 'pretty' });
    expect(status).toBe(1);
    for (const name of ['MAX_CONNECTIONS', 'NO_SUCH_VARIABLE', 'LOG_FORMAT'])
      expect(err + out).toContain(name);
  });
});

describe('--check-config', () => {
  it('prints what counts, masks secrets and starts nothing', () => {
    const { status, out } = run({ MAX_CONNECTIONS: '77', REDIS_PASSWORD: 'hush-hush' }, '--check-config');
    expect(out).toMatch(/MAX_CONNECTIONS\b.*77/);
    expect(out).not.toContain('hush-hush');
    expect(status).toBe(0);
    expect(existsSync(join(folder, 'data'))).toBe(false);
  });

  it('prints what is wrong and ends with 1', () => {
    const { status, out, err } = run({ MAX_CONNECTIONS: '-3' }, '--check-config');
    expect(status).toBe(1);
    expect(err + out).toMatch(/MAX_CONNECTIONS.*-3/);
  });
});

describe('a port that is taken', () => {
  it.each(['SERVICE_PORT', 'METRICS_PORT'])('is named, and the process ends with 1: %s', async (variable) => {
    const port = await freePort();
    const taker = createServer().listen(port, '127.0.0.1');
    await once(taker, 'listening');
    try {
      const { status, out, err } = run({ [variable]: String(port), LOG_LEVEL: 'INFO' });
      expect(status).toBe(1);
      expect(out + err).toMatch(new RegExp(`${variable}=${port}: the port is taken by another process`));
    } finally {
      taker.close();
    }
  });
});

describe('a folder of data that another process owns', () => {
  it('is refused in words', async () => {
    const owner = await TestServer.start();
    try {
      const { status, out, err } = run({ DATA_DIR: owner.dataDir });
      expect(status).toBe(1);
      expect(out + err).toMatch(/another process has the store in .* open/);
      expect(await owner.readiness()).toBe(200);
    } finally {
      await owner.dispose();
    }
  });
});
