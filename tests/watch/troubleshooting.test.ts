/** The troubleshooting pages quote what the service really logs and name settings that it really has. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { requestJson } from '../support/http/http.ts';
import { TestPublisher } from '../support/messages/publisher.ts';
import { Scrape } from '../support/monitoring/metrics.ts';
import { freePort } from '../support/ports.ts';
import { RedisServer } from '../support/redis/redis-server.ts';
import { standaloneEnv } from '../support/redis/service-env.ts';
import { ROOT } from '../support/repository.ts';
import { SERVER_ENTRY, serverEnv, TestServer } from '../support/service/server.ts';
import { waitFor } from '../support/wait.ts';

const PAGES = ['.md', '.zh.md'].map((suffix) =>
  readFileSync(join(ROOT, `docs/production/troubleshooting${suffix}`), 'utf8'),
);
const MESSAGE = { type: 'info', service: 'test', target: { channel: 'c' }, data: { secret: 'of nobody' } };

const servers: TestServer[] = [];
let redis: RedisServer | undefined;
afterEach(async () => {
  for (const server of servers.splice(0)) await server.dispose();
  await redis?.dispose();
  redis = undefined;
});

async function started(env: Readonly<Record<string, string>> = {}): Promise<TestServer> {
  const server = await TestServer.start({ env });
  servers.push(server);
  return server;
}

function expectQuoted(text: string): void {
  for (const page of PAGES) expect(page).toContain(text);
}

/** The output of a server that does not start. */
function lastWords(server: TestServer, env: Readonly<Record<string, string>>): Promise<string> {
  return server.start(env).then(
    () => 'it started',
    (error: Error) => error.message,
  );
}

describe('common problems', () => {
  it('a port that is taken, and a folder', async () => {
    const first = await started();
    const second = await started();
    await second.kill();
    const ofPort = await lastWords(second, { SERVICE_PORT: String(first.port) });
    const ofFolder = await lastWords(second, { SERVICE_PORT: String(second.port), DATA_DIR: first.dataDir });
    expect(ofPort).toContain('the port is taken by another process');
    expect(ofFolder).toContain(`another process has the store in ${first.dataDir} open`);
    expectQuoted('the port is taken by another process');
    expectQuoted('another process has the store in … open');
  });

  it('a Redis that cannot be reached, at the start and later', async () => {
    redis = await RedisServer.start();
    const server = await started(standaloneEnv(redis));
    await redis.stop();
    await waitFor('the service to notice', async () => (await server.readiness()) === 503);
    const { json } = await requestJson<{ message_queue: { reason: string } }>(`${server.url}/sse/health`);
    expect(json.message_queue.reason).toMatch(/^Redis is unreachable: /);
    expectQuoted('message_queue.reason');
    await server.kill();
    server.spawn();
    const quoted = 'Redis does not answer: check REDIS_HOST and REDIS_PORT, or REDIS_URL';
    await waitFor('a word about it', () => server.output.includes(quoted), { describe: () => server.output });
    expectQuoted(quoted);
  });

  it('less memory, by the lines that are to be set', async () => {
    const lines = ['MAX_CONNECTIONS=500', 'MESSAGE_QUEUE_SIZE=5000'];
    for (const line of lines) expectQuoted(line);
    const server = await started();
    const env = Object.fromEntries(lines.map((line) => line.split('=')));
    const shown = execFileSync(process.execPath, [SERVER_ENTRY, '--check-config'], {
      env: serverEnv(server.folder, { ...env, SERVICE_PORT: String(await freePort()) }),
      encoding: 'utf8',
    });
    expect(shown).toMatch(/MAX_CONNECTIONS\s*=?\s*500/);
    expect(shown).toMatch(/MESSAGE_QUEUE_SIZE\s*=?\s*5000/);
  });
});

describe('debug mode', () => {
  it.each([{ LOG_LEVEL: 'DEBUG' }, { DEBUG: 'true' }])(
    '%j shows every message, and never its data',
    async (env) => {
      for (const [name, value] of Object.entries(env)) expectQuoted(`${name}=${value}`);
      const server = await started(env);
      const publisher = new TestPublisher(server.url);
      await publisher.batchUntilAcknowledged([MESSAGE]);
      publisher.close();
      await waitFor('a line', () => server.output.includes('"message":"message published"'));
      expect(server.output).not.toContain('of nobody');
    },
  );
});

describe('performance', () => {
  it('the metrics that are to be read are there', async () => {
    const server = await started();
    const scrape = await Scrape.of(server.metricsPort);
    const shown = scrape.text.split('\n').filter((line) => /latency|event_loop|commit/.test(line));
    for (const name of ['event_loop_delay', 'engine_commit_latency', 'delivery_latency']) {
      expect(shown.some((line) => line.startsWith(`message_push_${name}_seconds`))).toBe(true);
      expectQuoted(`message_push_${name}_seconds`);
    }
  });
});
