/** Serves the metrics on a separate port, so that the public port need not expose them. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Metrics } from './metrics.ts';

const PATHS: ReadonlySet<string> = new Set(['/sse/metrics', '/metrics']);

export interface MetricsServer {
  /** The port that was opened, also when any free one was requested; `undefined` while waiting for a taken port. */
  readonly port: number | undefined;
  close(): Promise<void>;
}

export interface MetricsServerOptions {
  readonly metrics: Pick<Metrics, 'text' | 'contentType'>;
  readonly host: string;
  readonly port: number;
  /** Called for each scrape that failed and was answered with 500. */
  readonly onError: (error: unknown) => void;
  /**
   * Called when the port is taken. The service then runs without it and retries until the port is free. Without this
   * option, a taken port is an error.
   */
  readonly onWaiting?: (error: Error) => void;
}

const RETRY_MS = 1000;

/** Rejects with an Error for the operator when it cannot listen. */
export async function openMetricsServer(options: MetricsServerOptions): Promise<MetricsServer> {
  const { host, port, onError, onWaiting } = options;
  const server = createServer((request, response) => {
    answer(options.metrics, request, response).catch((error: unknown) => {
      onError(error);
      if (response.headersSent) response.destroy();
      else respond(request, response, 500, 'text/plain; charset=utf-8', 'the metrics could not be read\n');
    });
  });
  const listen = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const onListenError = (error: NodeJS.ErrnoException): void => reject(listenError(error, host, port));
      server.once('error', onListenError);
      // Processes of node:cluster share a port by default, and a scrape would reach any one of them.
      server.listen({ port, host, exclusive: true }, () => {
        server.removeListener('error', onListenError);
        server.on('error', onError);
        resolve();
      });
    });
  let retryTimer: NodeJS.Timeout | undefined;
  const retry = (): void => {
    retryTimer = setTimeout(() => {
      listen().catch(retry);
    }, RETRY_MS);
    retryTimer.unref();
  };
  await listen().catch((error: Error) => {
    if (onWaiting === undefined || (error.cause as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    onWaiting(error);
    retry();
  });
  return {
    get port() {
      return (server.address() as AddressInfo | null)?.port;
    },
    close: () =>
      new Promise((resolve) => {
        clearTimeout(retryTimer);
        server.close(() => resolve());
        // Scrapers keep their connections open, and a scrape in progress is not worth waiting for.
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
