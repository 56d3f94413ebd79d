/** Sends one request and reads only the head of a stream, so that streams can be probed like any route. */
import { type IncomingHttpHeaders, request } from 'node:http';

export interface Probe {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: object | undefined;
}

export interface ProbeAnswer {
  readonly status: number;
  readonly type: string;
  readonly headers: IncomingHttpHeaders;
  /** The body of an answer that is not a stream. */
  readonly text: string;
}

const TIMEOUT_MS = 30_000;

export function probe(port: number, { method, path, headers = {}, body }: Probe): Promise<ProbeAnswer> {
  const bytes = body === undefined ? undefined : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: '127.0.0.1',
        port,
        method,
        path,
        agent: false,
        signal: AbortSignal.timeout(TIMEOUT_MS),
        headers: {
          ...(bytes !== undefined && {
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(bytes),
          }),
          ...(headers as Record<string, string>),
        },
      },
      (response) => {
        const status = response.statusCode ?? 0;
        const type = response.headers['content-type'] ?? '';
        const done = (text: string): void => {
          resolve({ status, type, headers: response.headers, text });
          outgoing.destroy();
        };
        if (type.startsWith('text/event-stream')) {
          done('');
          return;
        }
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => {
          text += part;
        });
        response.on('end', () => done(text)).on('error', reject);
      },
    );
    outgoing.on('error', reject);
    outgoing.end(bytes);
  });
}
