/** One HTTP request, bounded in time, for everything that is not a stream. */
import { type Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { request as httpsRequest } from 'node:https';

export interface RequestOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** An object is sent as JSON. */
  readonly body?: string | Uint8Array | object;
  readonly agent?: Agent;
  readonly timeoutMs?: number;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export function request(url: string, options: RequestOptions = {}): Promise<Answer> {
  const { body, agent, timeoutMs = 10_000 } = options;
  const bytes =
    body === undefined || typeof body === 'string' || body instanceof Uint8Array
      ? body
      : JSON.stringify(body);
  const headers = {
    ...(bytes === undefined
      ? {}
      : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(bytes)) }),
    ...options.headers,
  };
  return new Promise((resolve, reject) => {
    const outgoing = (url.startsWith('https:') ? httpsRequest : httpRequest)(
      url,
      {
        // The tests about certificates check them.
        rejectUnauthorized: false,
        method: options.method ?? (bytes === undefined ? 'GET' : 'POST'),
        headers,
        ...(agent && { agent }),
        signal: AbortSignal.timeout(timeoutMs),
      },
      (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('error', reject);
        response.on('aborted', () => reject(new Error('the answer was cut off')));
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text: Buffer.concat(parts).toString(),
          }),
        );
      },
    );
    outgoing.on('error', reject);
    outgoing.end(bytes);
  });
}

/** A request whose answer is JSON; the caller vouches for the type. */
export async function requestJson<T>(
  url: string,
  options: RequestOptions = {},
): Promise<Answer & { json: T }> {
  const answer = await request(url, options);
  return { ...answer, json: JSON.parse(answer.text) as T };
}
