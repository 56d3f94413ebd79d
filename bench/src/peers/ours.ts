/**
 * The service of this repository, in production settings, with its store in the run's directory; and, as `before`, the
 * build of another checkout, so that two builds are compared in one run.
 */
import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { blankStamp, TARGET_PLACEHOLDER } from '../load/stamp.ts';
import { getFreePort } from '../net.ts';
import type { Peer, StartOptions } from './peer.ts';
import { spawnServer } from './spawn-server.ts';

const HERE = fileURLToPath(new URL('../../..', import.meta.url));
const PROGRAM = 'packages/server/dist/main.js';

export const ours: Peer = {
  ...serviceOf(HERE),
  name: 'ours',
  label: 'this service',
  missing: () =>
    existsSync(join(HERE, PROGRAM)) ? undefined : 'packages/server is not built (npm run build)',
};

/** The folder of the other checkout, which must be built. */
const BEFORE = process.env['BENCH_BEFORE'] ?? '';

export const before: Peer = {
  ...serviceOf(BEFORE),
  name: 'before',
  label: 'the build before',
  missing: () => {
    if (BEFORE === '') return 'BENCH_BEFORE must name the folder of a built checkout';
    return existsSync(join(BEFORE, PROGRAM))
      ? undefined
      : `${join(BEFORE, PROGRAM)} is not there (npm run build)`;
  },
};

function serviceOf(root: string): Pick<Peer, 'version' | 'start' | 'streamPath' | 'request'> {
  return {
    version: () => {
      const manifest: unknown = JSON.parse(readFileSync(join(root, 'packages/server/package.json'), 'utf8'));
      return String((manifest as { version?: unknown }).version);
    },

    start: (options) =>
      startService(options, { DATA_DIR: join(options.directory, 'data') }, join(root, PROGRAM)),

    streamPath: (kind) => (kind === 'broadcast' ? '/sse/stream' : `/sse/user/${TARGET_PLACEHOLDER}`),

    request: (kind, pad, batchSize) => {
      const data = `{${blankStamp(pad)}}`;
      const common = '{"type":"info","service":"bench","source":"b"';
      if (kind === 'broadcast') {
        return {
          path: '/sse/api/v1/messages/broadcast',
          body: `${common},"data":${data}}`,
          isBatch: false,
        };
      }
      const single = `${common},"target":{"user_id":"${TARGET_PLACEHOLDER}"},"data":${data}}`;
      if (kind === 'unicast') return { path: '/sse/api/v1/messages/send', body: single, isBatch: false };
      const body = `[${Array.from({ length: batchSize }, () => single).join(',')}]`;
      return { path: '/sse/api/v1/messages/batch', body, isBatch: true };
    },
  };
}

/** Starts the service with the variables of its engine. */
export async function startService(
  options: StartOptions,
  engine: Readonly<Record<string, string>>,
  program = join(HERE, PROGRAM),
): Promise<ChildProcess> {
  const metricsPort = await getFreePort();
  return spawnServer({
    command: process.execPath,
    args: [...options.nodeOptions, program],
    cores: options.cores,
    port: options.port,
    healthPath: '/sse/health',
    directory: options.directory,
    env: {
      ENVIRONMENT: 'production',
      ALLOW_ANONYMOUS: 'true',
      SERVICE_HOST: '127.0.0.1',
      SERVICE_PORT: String(options.port),
      METRICS_PORT: String(metricsPort),
      LOG_LEVEL: 'WARNING',
      LOG_FILE: 'none',
      MAX_CONNECTIONS: '20000',
      MAX_CONNECTIONS_PER_USER: '0',
      MAX_CONNECTIONS_PER_ADDRESS: '0',
      ENABLE_RATE_LIMITING: 'false',
      ...engine,
    },
  });
}
