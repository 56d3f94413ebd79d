/** The contract of engines on real Redis: one server, one with password and TLS, Sentinel, Cluster. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeEngine, type EngineUnderTest } from '@message-push/server/engine/engine-suite-fixture';
import { RedisEngine, type RedisEngineOptions } from '@message-push/server/engine/redis/redis-engine';
import { afterAll, beforeAll, describe } from 'vitest';
import { makeCertificates } from '../support/redis/certificates.ts';
import { ClusterSetup } from '../support/redis/cluster-setup.ts';
import { RedisServer } from '../support/redis/redis-server.ts';
import { SentinelSetup } from '../support/redis/sentinel-setup.ts';

type Place = Pick<RedisEngineOptions, 'mode' | 'nodes' | 'connection'>;

const CONNECTION = { database: 0, connectTimeoutMs: 2000, callTimeoutMs: 5000, name: 'contract' };
let count = 0;

/** Each test has a prefix of its own, so that they share the servers. */
function under(place: () => Place): () => Promise<EngineUnderTest> {
  return async () => {
    const keyPrefix = `contract${++count}:`;
    return {
      create: (bounds = {}) =>
        new RedisEngine({
          maxMessagesPerChannel: 10_000,
          maxBytesPerChannel: 16 * 1024 * 1024,
          channelRetentionMs: 7 * 86_400_000,
          idempotencyTtlMs: 300_000,
          maxQueueBytes: 16 * 1024 * 1024,
          groupCommit: true,
          ackReplicas: 1,
          isReplicatedByDefault: false,
          maxConnections: 50,
          isProduction: false,
          sentinelMaster: 'mymaster',
          nodeId: (0x1000_0000 + ++count).toString(16),
          keyPrefix,
          now: Date.now,
          random: Math.random,
          ...place(),
          ...bounds,
        }),
      advanceClock: (ms) => sleep(ms),
      nowMs: () => Date.now(),
      dispose: async () => {},
    };
  };
}

describe('on one server', () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server.dispose());
  describeEngine(
    'redis standalone',
    under(() => ({ mode: 'standalone', nodes: [server], connection: { ...CONNECTION, database: 5 } })),
  );
});

describe('on one server with TLS and a password', () => {
  let folder: string;
  let server: RedisServer;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'certificates-'));
    server = await RedisServer.start({ password: 'let-me-in', tls: makeCertificates(folder) });
  });
  afterAll(async () => {
    await server.dispose();
    await rm(folder, { recursive: true });
  });
  describeEngine(
    'redis with TLS',
    under(() => ({
      mode: 'standalone',
      nodes: [server],
      connection: {
        ...CONNECTION,
        password: 'let-me-in',
        tls: { ca: server.options.tls?.ca ?? '', verify: true },
      },
    })),
  );
});

describe('behind sentinels', () => {
  let setup: SentinelSetup;
  beforeAll(async () => {
    setup = await SentinelSetup.start();
  });
  afterAll(() => setup.dispose());
  describeEngine(
    'redis sentinel',
    under(() => ({ mode: 'sentinel', nodes: setup.sentinels, connection: CONNECTION })),
  );
});

describe('on a cluster', () => {
  let setup: ClusterSetup;
  beforeAll(async () => {
    setup = await ClusterSetup.start();
  });
  afterAll(() => setup.dispose());
  describeEngine(
    'redis cluster',
    under(() => ({ mode: 'cluster', nodes: setup.servers, connection: CONNECTION })),
  );
});
