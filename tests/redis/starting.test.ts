/** Starting on a Redis that is configured wrongly: what cannot work refuses the start, what is risky is logged. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../support/ports.ts';
import { makeCertificates } from '../support/redis/certificates.ts';
import { RedisServer, type RedisServerOptions } from '../support/redis/redis-server.ts';
import { SERVER_ENTRY, serverEnv, TestServer } from '../support/service/server.ts';

let folder: string;
const servers: RedisServer[] = [];
const redis = async (options: RedisServerOptions = {}): Promise<RedisServer> => {
  const server = await RedisServer.start(options);
  servers.push(server);
  return server;
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'message-push-redis-start-'));
});
afterAll(async () => {
  for (const server of servers) await server.dispose();
  await rm(folder, { recursive: true });
});

function node(env: Readonly<Record<string, string>>): { child: ChildProcess; text: () => string } {
  const child = spawn(process.execPath, [SERVER_ENTRY], {
    env: serverEnv(folder, { MESSAGE_QUEUE_TYPE: 'redis', SERVICE_PORT: '0', METRICS_PORT: '0', ...env }),
    timeout: 30_000,
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
  }
  return { child, text: () => text };
}

/** Runs a node until it exits by itself. */
async function refusal(
  env: Readonly<Record<string, string>>,
): Promise<{ status: number | null; text: string }> {
  const { child, text } = node(env);
  const status = await new Promise<number | null>((resolve) => child.once('exit', resolve));
  return { status, text: text() };
}

describe('a node does not start', () => {
  it('with a wrong password, or without one', async () => {
    const { port } = await redis({ password: 'right' });
    for (const env of [{}, { REDIS_PASSWORD: 'wrong' }]) {
      const { status, text } = await refusal({ REDIS_PORT: String(port), ...env });
      expect(status).toBe(1);
      expect(text).toContain('REDIS_PASSWORD');
      expect(text).not.toContain('right');
    }
  });

  it('with a database that is not there', async () => {
    const { port } = await redis();
    const { status, text } = await refusal({ REDIS_PORT: String(port), REDIS_DB: '99' });
    expect(status).toBe(1);
    expect(text).toMatch(/no database 99.*REDIS_DB/);
  });

  it('in a mode that the server is not in', async () => {
    const plain = await redis();
    const asCluster = await refusal({ REDIS_PORT: String(plain.port), REDIS_MODE: 'cluster' });
    expect(asCluster.text).toMatch(/REDIS_MODE/);
    const asSentinel = await refusal({ REDIS_MODE: 'sentinel', REDIS_NODES: plain.address });
    expect(asSentinel.text).toMatch(/no sentinel/);
    const inCluster = await redis({ config: ['cluster-enabled yes'] });
    await inCluster.command('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
    const asPlain = await refusal({ REDIS_PORT: String(inCluster.port), REDIS_DB: '0' });
    expect(asPlain.text).toMatch(/REDIS_MODE=cluster/);
    expect([asCluster.status, asSentinel.status, asPlain.status]).toEqual([1, 1, 1]);
  });

  it('on a replica', async () => {
    const master = await redis();
    const replica = await redis({ config: [`replicaof 127.0.0.1 ${master.port}`] });
    const { status, text } = await refusal({ REDIS_PORT: String(replica.port) });
    expect(status).toBe(1);
    expect(text).toMatch(/replica.*REDIS_HOST/);
  });

  it('with a certificate that it has no reason to trust', async () => {
    const { port } = await redis({ tls: makeCertificates(folder) });
    const { status, text } = await refusal({ REDIS_URL: `rediss://127.0.0.1:${port}/0` });
    expect(status).toBe(1);
    expect(text).toMatch(/REDIS_TLS_CA_PATH/);
  });

  it('with fewer connections than it needs', async () => {
    const { port } = await redis();
    const { status, text } = await refusal({ REDIS_PORT: String(port), REDIS_MAX_CONNECTIONS: '2' });
    expect(status).toBe(1);
    expect(text).toMatch(/3 connections.*REDIS_MAX_CONNECTIONS allows 2/);
  });
});

describe('a node starts', () => {
  it('and warns of eviction, of a missing append-only file and of missing replicas', async () => {
    const { port } = await redis({
      isDurable: false,
      maxMemory: { limit: '256mb', policy: 'allkeys-lru' },
    });
    const server = await TestServer.start({
      env: {
        MESSAGE_QUEUE_TYPE: 'redis',
        REDIS_PORT: String(port),
        ENVIRONMENT: 'production',
        ALLOW_ANONYMOUS: 'true',
        ACK_LEVEL: 'replicated',
      },
    });
    try {
      expect(server.output).toMatch(/allkeys-lru.*noeviction/);
      expect(server.output).toMatch(/no append-only file/);
      expect(server.output).toMatch(/0 replicas/);
    } finally {
      await server.dispose();
    }
  });

  it('when its server comes a little later', async () => {
    const port = await freePort();
    const { child, text } = node({ REDIS_PORT: String(port), LOG_LEVEL: 'INFO' });
    try {
      await expect.poll(text, { timeout: 20_000 }).toMatch(/does not answer.*REDIS_PORT/);
      await redis({ port });
      await expect.poll(text, { timeout: 20_000 }).toContain('ready: ');
    } finally {
      child.kill('SIGKILL');
    }
  });
});
