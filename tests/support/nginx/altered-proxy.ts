/**
 * A real nginx in front of a service, configured correctly except for what a test changes: TLS with HTTP/2, plain HTTP
 * that only redirects, unbuffered streams, and no access to the API, the details of health and the metrics.
 */
import { freePort } from '../ports.ts';
import { NginxProcess } from './nginx-process.ts';

export const PUBLIC_HOST = 'push.test';

/** Directives by name, without the semicolon; `undefined` leaves one out. */
type Directives = Readonly<Record<string, string | undefined>>;

export interface ProxyChanges {
  readonly listen?: string;
  readonly upstreamPort?: number;
  readonly server?: Directives;
  readonly streams?: Directives;
  /** Bodies of locations. */
  readonly api?: string;
  readonly health?: string;
  /** Body of the location of the plain server. */
  readonly plain?: string;
  /** Additional locations. */
  readonly locations?: string;
  /** Lines for the location of the streams, verbatim. */
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

export class AlteredProxy {
  readonly #servicePort: number;
  readonly #nginx = new NginxProcess(PUBLIC_HOST);
  #ports = { tls: 0, plain: 0 };

  constructor(servicePort: number) {
    this.#servicePort = servicePort;
  }

  get folder(): string {
    return this.#nginx.folder;
  }

  /** Path of its certificate, which signs itself. */
  get certificate(): string {
    return this.#nginx.certificate;
  }

  /** Options that lead the doctor to it in place of `push.test`. */
  get detours(): string[] {
    const { tls, plain } = this.#ports;
    return ['--connect', `443:127.0.0.1:${tls}`, '--connect', `80:127.0.0.1:${plain}`];
  }

  async start(changes: ProxyChanges = {}): Promise<void> {
    this.#ports = { tls: await freePort(), plain: await freePort() };
    await this.#nginx.start(this.#config(changes), this.#ports.tls);
  }

  #config(changes: ProxyChanges): string {
    const { tls, plain } = this.#ports;
    return `master_process off;
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

  stop(): Promise<void> {
    return this.#nginx.stop();
  }

  dispose(): Promise<void> {
    return this.#nginx.dispose();
  }
}

function lines(directives: Directives): string {
  return Object.entries(directives)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name} ${value};`)
    .join('\n      ');
}
