/** Serves a test's pages from another origin than the service and accepts what a page posts back. */
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
};

/** Contents by path, or a folder of files. */
export type PageSource = Readonly<Record<string, string>> | { readonly folder: string };

export class PageServer {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** `onPost` gets the body of every POST. */
  static async start(source: PageSource, onPost?: (body: string) => void): Promise<PageServer> {
    const server = createServer((request, response) => {
      const path = new URL(request.url ?? '/', 'http://localhost').pathname;
      if (request.method === 'POST') {
        const chunks: Buffer[] = [];
        request.on('data', (chunk: Buffer) => chunks.push(chunk));
        request.on('end', () => {
          onPost?.(Buffer.concat(chunks).toString());
          response.writeHead(204).end();
        });
        return;
      }
      const content = contentOf(source, path === '/' ? '/index.html' : path);
      if (content === undefined) response.writeHead(404).end();
      else response.writeHead(200, { 'content-type': TYPES[extname(path)] ?? TYPES['.html'] }).end(content);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new PageServer(server);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function contentOf(source: PageSource, path: string): string | Buffer | undefined {
  if (!('folder' in source) || typeof source.folder !== 'string') {
    return (source as Readonly<Record<string, string>>)[path];
  }
  try {
    return readFileSync(join(source.folder, normalize(path)));
  } catch {
    // For example a favicon.
    return undefined;
  }
}
