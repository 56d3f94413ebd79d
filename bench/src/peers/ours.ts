/** The service of this repository, in production settings, with its store in the run's directory. */
import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { blankStamp, TARGET_PLACEHOLDER } from '../load/stamp.ts';
import { getFreePort } from '../net.ts';
import type { Peer, StartOptions } from './peer.ts';
import { spawnServer } from './spawn-server.ts';

const ROOT = fileURLToPath(new URL('../../../packages/server/', import.meta.url));
const MAIN = join(ROOT, 'dist/main.js');

export const ours: Peer = {
  name: 'ours',
  label: 'this service',
  missing: () => (existsSync(MAIN) ? undefined : 'packages/server is not built (npm run build)'),
  version: () => {
    const manifest: unknown = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    return String((manifest as { version?: unknown }).version);
  },

  start: (options) => startService(options, { DATA_DIR: join(options.directory, 'data') }),

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

/** Starts the service with the variables of its engine. */
export async function startService(
  options: StartOptions,
  engine: Readonly<Record<string, string>>,
): Promise<ChildProcess> {
  const metricsPort = await getFreePort();
  return spawnServer({
    command: process.execPath,
    args: [...options.nodeOptions, MAIN],
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
