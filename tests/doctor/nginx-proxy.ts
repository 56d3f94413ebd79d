/**
 * A real nginx in front of a service, configured as it should be, but for what a test changes: TLS with HTTP/2, plain
 * HTTP that only redirects, streams that are not buffered, and the API, the health and the metrics kept back.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../support/server.ts';
import { waitFor, within } from '../support/wait.ts';

export const PUBLIC_HOST = 'push.test';

/** Directives by their names, without the semicolon; undefined leaves one out. */
type Directives = Readonly<Record<string, string | undefined>>;

export interface NginxChanges {
  readonly listen?: string;
  readonly upstreamPort?: number;
  readonly server?: Directives;
  readonly streams?: Directives;
  /** Bodies of locations. */
  readonly api?: string;
  readonly health?: string;
  /** Of the plain server. */
  readonly plain?: string;
  /** Further locations. */
  readonly locations?: string;
  /** In the location of the streams, as they stand. */
  readonly streamLines?: string;
}

const STREAMS: Directives = {
  proxy_pass: 'http://message_push_backend',
  proxy_http_version: '1.1',
  'proxy_set_header Connection': "''",
  'proxy_set_header Host': '$host',
  'proxy_set_header X-Forwarded-For': '$proxy_add_x_forwarded_for',
  proxy_buffering: 'off',
  proxy_cache: 'off',
  gzip: 'off',
  proxy_read_timeout: '86400s',
};
const SERVER: Directives = { large_client_header_buffers: '4 16k' };
const TEMP_PATHS = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class NginxProxy {
  readonly folder = mkdtempSync(join(tmpdir(), 'message-push-nginx-'));
  readonly #servicePort: number;
  #ports = { tls: 0, plain: 0 };
  #child: ChildProcess | undefined;
  #output = '';

  constructor(servicePort: number) {
    this.#servicePort = servicePort;
    execFileSync(
      'openssl',
      'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test -addext'
        .split(' ')
        .concat(`subjectAltName=DNS:${PUBLIC_HOST}`, '-keyout', 'key.pem', '-out', 'cert.pem'),
      { cwd: this.folder, stdio: ['ignore', 'ignore', 'pipe'], timeout: 10_000 },
    );
  }

  /** It signs itself. */
  get certificate(): string {
    return join(this.folder, 'cert.pem');
  }

  /** For the doctor: `push.test` is here. */
  get detours(): string[] {
    const { tls, plain } = this.#ports;
    return ['--connect', `443:127.0.0.1:${tls}`, '--connect', `80:127.0.0.1:${plain}`];
  }

  async start(changes: NginxChanges = {}): Promise<void> {
    await this.stop();
    this.#ports = { tls: await freePort(), plain: await freePort() };
    const config = join(this.folder, 'nginx.conf');
    writeFileSync(config, this.#config(changes));
    this.#output = '';
    const child = spawn('nginx', ['-p', this.folder, '-c', config, '-e', 'stderr'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#output += text;
    });
    running.add(child);
    child.once('exit', () => running.delete(child));
    this.#child = child;
    await waitFor(
      'nginx',
      () => {
        if (child.exitCode !== null) throw new Error(`nginx ended: ${this.#output}`);
        return isListening(this.#ports.tls);
      },
      { describe: () => this.#output },
    );
  }

  #config(changes: NginxChanges): string {
    const { tls, plain } = this.#ports;
    return `daemon off;
master_process off;
pid ${this.folder}/nginx.pid;
error_log stderr error;
events { worker_connections 512; }
http {
  access_log off;
  ${TEMP_PATHS.map((name) => `${name}_temp_path ${this.folder}/${name};`).join(' ')}
  upstream message_push_backend { server 127.0.0.1:${changes.upstreamPort ?? this.#servicePort}; keepalive 32; }
  server {
    listen 127.0.0.1:${plain};
    location / { ${changes.plain ?? 'return 308 https://$host$request_uri;'} }
  }
  server {
    listen 127.0.0.1:${tls} ${changes.listen ?? 'ssl http2'};
    server_name ${PUBLIC_HOST};
    ssl_certificate cert.pem;
    ssl_certificate_key key.pem;
    ${lines({ ...SERVER, ...changes.server })}
    location /sse/ {
      ${lines({ ...STREAMS, ...changes.streams })}
      ${changes.streamLines ?? ''}
    }
    location /sse/api/ { ${changes.api ?? 'deny all;'} }
    location = /sse/health { ${changes.health ?? 'deny all;'} }
    location = /sse/metrics { return 404; }
    ${changes.locations ?? ''}
  }
}
`;
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await within('the end of nginx', 10_000, once(child, 'exit'));
  }

  async dispose(): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function lines(directives: Directives): string {
  return Object.entries(directives)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name} ${value};`)
    .join('\n      ');
}

async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    // Not yet.
    return false;
  } finally {
    socket.destroy();
  }
}
