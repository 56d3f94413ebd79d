/** The client that the checks use: paths, credentials, and streams for doctor's own user. */
import { type Answer, exchange, hostOf, type Protocol, type Request, textOf, type Way } from './exchange.ts';
import { jsonOf } from './json-text.ts';
import { isJwt } from './options.ts';
import { WatchedStream } from './watched-stream.ts';

export interface ServiceOptions extends Way {
  readonly base: URL;
  readonly publishBase: URL;
  readonly userId: string;
  readonly token: string | undefined;
  readonly apiKey: string | undefined;
}

export interface StreamOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

export interface TextAnswer {
  readonly status: number;
  readonly headers: Answer['headers'];
  readonly text: string;
  /** The body, if it is a JSON object. */
  readonly json: Record<string, unknown> | undefined;
}

const LOOPBACK = /^(?:localhost|127\.[\d.]+|::1|.*\.localhost)$/;

export class Service {
  readonly options: ServiceOptions;
  /** Protocol of the last response. */
  protocol: Protocol | undefined;

  constructor(options: ServiceOptions) {
    this.options = options;
  }

  get base(): URL {
    return this.options.base;
  }

  /** Other machines can reach this URL. */
  get isPublic(): boolean {
    return !LOOPBACK.test(hostOf(this.base));
  }

  /** Opens a stream with the query and headers that a user would send. */
  async openStream({ headers = {}, query = {}, timeoutMs }: StreamOptions = {}): Promise<WatchedStream> {
    const { token, userId } = this.options;
    const url = urlAt(this.base, `/sse/user/${encodeURIComponent(userId)}`);
    if (token !== undefined && !isJwt(token)) url.searchParams.set('ticket', token);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    const answer = await this.ask(url, {
      headers: { accept: 'text/event-stream', ...this.userHeaders(), ...headers },
      ...(timeoutMs !== undefined && { timeoutMs }),
    });
    return new WatchedStream(answer);
  }

  userHeaders(): Record<string, string> {
    const { token } = this.options;
    return token !== undefined && isJwt(token) ? { authorization: `Bearer ${token}` } : {};
  }

  /** Publishes to this one connection, so that no user sees the message and no history keeps it. */
  publish(connectionId: string, data: object): Promise<TextAnswer> {
    const { apiKey, publishBase } = this.options;
    return this.text(urlAt(publishBase, '/sse/api/v1/messages/send'), {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(apiKey !== undefined && { 'x-api-key': apiKey }) },
      body: JSON.stringify({
        type: 'custom',
        service: 'doctor',
        target: { connection_id: connectionId },
        data,
      }),
    });
  }

  /** Makes a request without credentials. */
  get(path: string, request: Request = {}): Promise<TextAnswer> {
    return this.text(urlAt(this.base, path), request);
  }

  async text(url: URL, request: Request = {}): Promise<TextAnswer> {
    const answer = await exchange(this.options, url, request);
    const { status, headers } = answer;
    const isStream = typeOf(headers) === 'text/event-stream';
    if (isStream) answer.close();
    const text = isStream ? '' : await textOf(answer);
    return { status, headers, text, json: jsonOf(text) };
  }

  async ask(url: URL, request: Request): Promise<Answer> {
    const answer = await exchange(this.options, url, request);
    this.protocol = answer.protocol;
    return answer;
  }
}

export function urlAt(base: URL, path: string): URL {
  const url = new URL(base);
  url.pathname = url.pathname.replace(/\/+$/, '') + path;
  return url;
}

export function typeOf(headers: Answer['headers']): string {
  return (headers['content-type'] ?? 'none').split(';')[0]?.trim().toLowerCase() ?? '';
}
