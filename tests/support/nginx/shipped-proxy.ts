/** nginx with the configuration that operators get, `config/nginx.conf`; only addresses and paths are the test's. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../ports.ts';
import { ROOT } from '../repository.ts';
import { NginxProcess } from './nginx-process.ts';

export interface ShippedProxyOptions {
  /** Leaves out TLS and HTTP/2, for tests with thousands of streams of what is behind nginx. */
  readonly isPlain?: boolean;
}

export class ShippedProxy {
  readonly port: number;
  readonly url: string;
  readonly #nginx: NginxProcess;

  private constructor(port: number, isPlain: boolean) {
    this.port = port;
    this.url = `${isPlain ? 'http' : 'https'}://127.0.0.1:${port}`;
    this.#nginx = new NginxProcess('localhost');
  }

  /** Starts it in front of services on these ports. */
  static async start(
    backends: readonly number[],
    { isPlain = false }: ShippedProxyOptions = {},
  ): Promise<ShippedProxy> {
    const proxy = new ShippedProxy(await freePort(), isPlain);
    const nginx = proxy.#nginx;
    const plainPort = await freePort();
    const servers = backends.map((port) => `server 127.0.0.1:${port} max_fails=3 fail_timeout=2s;`);
    const config = readFileSync(join(ROOT, 'config/nginx.conf'), 'utf8')
      .replace('server 127.0.0.1:8089 max_fails=3 fail_timeout=2s;', servers.join('\n        '))
      .replaceAll('/etc/nginx/ssl/message-push-service', nginx.folder)
      .replaceAll('/var/log/nginx', nginx.folder)
      .replace('/run/nginx.pid', join(nginx.folder, 'nginx.pid'))
      .replaceAll(/(listen (?:\[::\]:)?)80 /g, `$1${plainPort} `)
      .replaceAll(/(listen (?:\[::\]:)?)443 ssl http2 /g, `$1${proxy.port} ${isPlain ? '' : 'ssl http2 '}`);
    await nginx.start(config, proxy.port);
    return proxy;
  }

  reload(): Promise<void> {
    return this.#nginx.reload();
  }

  workers(): string[] {
    return this.#nginx.workers();
  }

  accessLog(): string {
    return readFileSync(join(this.#nginx.folder, 'access.log'), 'utf8');
  }

  dispose(): Promise<void> {
    return this.#nginx.dispose();
  }
}
