/** The suite of all engines on real Redis: one server, one with password and TLS, Sentinel, Cluster. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeEngine, type EngineUnderTest } from '@message-push/server/engine/engine-suite-fixture';
import { afterAll, beforeAll, describe } from 'vitest';
import { makeCertificates } from '../support/redis/certificates.ts';
import { ClusterSetup } from '../support/redis/cluster-setup.ts';
import { createRedisEngine, type RedisSettings } from '../support/redis/create-redis-engine.ts';
import { RedisServer } from '../support/redis/redis-server.ts';
import { SentinelSetup } from '../support/redis/sentinel-setup.ts';

/** Where the servers are. */
type Place = Partial<RedisSettings> & Pick<RedisSettings, 'nodes'>;

let count = 0;

/** Each test has its own key prefix, so that tests can share the servers. */
function under(place: () => Place): () => Promise<EngineUnderTest> {
  return async () => {
    const keyPrefix = `contract${++count}:`;
    return {
      create: (bounds = {}) =>
        createRedisEngine({
          nodeId: (0x1000_0000 + ++count).toString(16),
          settings: { keyPrefix, ...place() },
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
    under(() => ({ mode: 'standalone', nodes: [server], database: 5 })),
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
      password: 'let-me-in',
      tls: { ca: server.options.tls?.ca ?? '', verify: true },
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
    under(() => ({ mode: 'sentinel', nodes: setup.sentinels })),
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
    under(() => ({ mode: 'cluster', nodes: setup.servers })),
  );
});
