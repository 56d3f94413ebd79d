/** A plain Node `http` server that writes each event with `res.write`: the obvious first implementation. */
import { fileURLToPath } from 'node:url';
import { blankStamp, TARGET_PLACEHOLDER } from '../load/stamp.ts';
import type { Peer } from './peer.ts';
import { spawnServer } from './spawn-server.ts';

const MAIN = fileURLToPath(new URL('./plain-server.js', import.meta.url));

export const plain: Peer = {
  name: 'plain',
  label: 'Node res.write',
  missing: () => undefined,
  version: () => `Node ${process.versions.node}`,

  start: (options) =>
    spawnServer({
      command: process.execPath,
      args: [MAIN, String(options.port)],
      cores: options.cores,
      port: options.port,
      healthPath: '/health',
      directory: options.directory,
      env: {},
    }),

  streamPath: (kind) => (kind === 'broadcast' ? '/stream' : `/stream?user=${TARGET_PLACEHOLDER}`),

  request: (kind, pad) => {
    if (kind === 'batch') return undefined;
    const data = `{${blankStamp(pad)}}`;
    const target = kind === 'unicast' ? `"user":"${TARGET_PLACEHOLDER}",` : '';
    return { path: '/publish', body: `{${target}"type":"info","data":${data}}`, isBatch: false };
  },
};
