/** The metrics on a port of their own, so that the public port need not show them. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Metrics } from './metrics.ts';

const PATHS: ReadonlySet<string> = new Set(['/sse/metrics', '/metrics']);

export interface MetricsServer {
  /** The one that was opened, also when any free one was asked for. */
  readonly port: number;
  close(): Promise<void>;
}

export interface MetricsServerOptions {
  readonly metrics: Pick<Metrics, 'text' | 'contentType'>;
  readonly host: string;
  readonly port: number;
  /** A scrape that failed; it was answered with 500. */
  readonly onError: (error: unknown) => void;
}

/** Rejects with an Error for the operator when it cannot listen. */
export async function openMetricsServer(options: MetricsServerOptions): Promise<MetricsServer> {
  const { host, port, onError } = options;
  const server = createServer((request, response) => {
    answer(options.metrics, request, response).catch((error: unknown) => {
      onError(error);
      if (response.headersSent) response.destroy();
      else respond(request, response, 500, 'text/plain; charset=utf-8', 'the metrics could not be read\n');
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, host, port)));
    server.listen(port, host, resolve);
  });
  server.on('error', onError);
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        // Scrapers keep their connections open; a scrape under way is not worth waiting for.
        server.closeAllConnections();
      }),
  };
}

async function answer(
  metrics: MetricsServerOptions['metrics'],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const [path = ''] = (request.url ?? '').split('?');
  if (!PATHS.has(path)) {
    respond(request, response, 404, 'text/plain; charset=utf-8', 'not found; metrics are at /sse/metrics\n');
  } else if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD');
    respond(request, response, 405, 'text/plain; charset=utf-8', 'method not allowed\n');
  } else {
    respond(request, response, 200, metrics.contentType, await metrics.text());
  }
}

function respond(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  type: string,
  body: string,
): void {
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) });
  response.end(request.method === 'HEAD' ? undefined : body);
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): Error {
  const reason =
    error.code === 'EADDRINUSE'
      ? 'the port is taken by another process'
      : `${error.code ?? ''} ${error.message}`;
  return new Error(
    `cannot serve metrics on METRICS_HOST=${host} METRICS_PORT=${port}: ${reason}; choose another METRICS_PORT or set ENABLE_METRICS=false`,
    { cause: error },
  );
}
