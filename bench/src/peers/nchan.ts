/** nginx with nchan: one worker, messages in memory, and one channel for all streams or one per stream. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { blankStamp, TARGET_PLACEHOLDER } from '../load/stamp.ts';
import type { Peer } from './peer.ts';
import { spawnServer } from './spawn-server.ts';

const MODULE = '/usr/lib/nginx/modules/ngx_nchan_module.so';
const NGINX = '/usr/sbin/nginx';

function config(directory: string, port: number, connections: number): string {
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${join(directory, name)};`)
    .join('\n  ');
  return `load_module ${MODULE};
${process.getuid?.() === 0 ? 'user root;' : ''}
worker_processes 1;
pid ${join(directory, 'nginx.pid')};
error_log stderr crit;
events { worker_connections ${connections}; use epoll; }
http {
  access_log off;
  tcp_nodelay on;
  keepalive_timeout 3600;
  keepalive_requests 1000000000;
  nchan_max_reserved_memory 2g;
  nchan_message_buffer_length 32;
  nchan_message_timeout 1h;
  ${temp}
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location = /health { return 200; }
    location = /publish { nchan_publisher; nchan_channel_id $arg_channel; }
    location = /stream {
      nchan_subscriber eventsource;
      nchan_subscriber_first_message newest;
      nchan_channel_id $arg_channel;
    }
  }
}
`;
}

export const nchan: Peer = {
  name: 'nchan',
  label: 'nginx + nchan',
  missing: () =>
    existsSync(NGINX) && existsSync(MODULE) ? undefined : 'nginx with libnginx-mod-nchan is not installed',
  version: () => {
    const nginx = /nginx\/(\S+)/.exec(spawnSync(NGINX, ['-v'], { encoding: 'utf8' }).stderr)?.[1];
    const status = spawnSync('dpkg', ['-s', 'libnginx-mod-nchan'], { encoding: 'utf8' }).stdout ?? '';
    const debian = /^Version: (\S+)/m.exec(status)?.[1];
    return `nginx ${nginx ?? '?'}, nchan ${debian ?? '?'}`;
  },

  start: async (options) => {
    mkdirSync(join(options.directory, 'logs'), { recursive: true });
    const connections = Math.min(options.maxStreams + 1000, options.fileLimit - 100);
    const configPath = join(options.directory, 'nginx.conf');
    writeFileSync(configPath, config(options.directory, options.port, connections));
    return spawnServer({
      command: NGINX,
      args: ['-p', options.directory, '-c', configPath, '-g', 'daemon off;'],
      cores: options.cores,
      port: options.port,
      healthPath: '/health',
      directory: options.directory,
      env: {},
    });
  },

  streamPath: (kind) => `/stream?channel=${kind === 'broadcast' ? 'all' : TARGET_PLACEHOLDER}`,

  request: (kind, pad) => {
    if (kind === 'batch') return undefined;
    const body = `{${blankStamp(pad)}}`;
    const channel = kind === 'broadcast' ? 'all' : TARGET_PLACEHOLDER;
    return { path: `/publish?channel=${channel}`, body, isBatch: false };
  },
};
