/** An EventSource over HTTP/2 and TLS: it reconnects with the last id, but not after an answer that is not a stream. */
import { type ClientHttp2Session, connect } from 'node:http2';
import { EventStreamParser } from '@message-push/protocol';

const DEFAULT_RETRY_MS = 200;

export interface H2Event {
  readonly type: string;
  readonly data: string;
}

export class H2Stream {
  readonly events: H2Event[] = [];
  opens = 0;
  isFailed = false;
  lastEventId = '';
  retryMs: number | undefined;
  /** An upper bound for the server's `retry:`. */
  readonly maxRetryMs: number;
  readonly #url: string;
  readonly #path: string;
  #session: ClientHttp2Session | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(url: string, path: string, maxRetryMs = DEFAULT_RETRY_MS) {
    this.#url = url;
    this.#path = path;
    this.maxRetryMs = maxRetryMs;
    this.#open();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#session?.destroy();
  }

  #open(): void {
    const session = connect(this.#url, { rejectUnauthorized: false });
    this.#session = session;
    let hasEnded = false;
    const end = (): void => {
      if (hasEnded) return;
      hasEnded = true;
      session.destroy();
      if (this.#isClosed || this.isFailed) return;
      const retryMs = Math.min(this.retryMs ?? DEFAULT_RETRY_MS, this.maxRetryMs);
      this.#timer = setTimeout(() => this.#open(), retryMs);
    };
    session.on('error', end);
    session.on('close', end);
    const parser = new EventStreamParser({
      onEvent: ({ type, data }) => this.events.push({ type, data }),
      lastEventId: this.lastEventId,
    });
    const stream = session.request({
      ':path': this.#path,
      accept: 'text/event-stream',
      'accept-encoding': 'gzip, br',
      ...(this.lastEventId !== '' && { 'last-event-id': this.lastEventId }),
    });
    stream.on('response', (headers) => {
      const isStream = headers[':status'] === 200 && headers['content-type']?.startsWith('text/event-stream');
      this.isFailed = !isStream || headers['content-encoding'] !== undefined;
      if (this.isFailed) session.destroy();
      else this.opens++;
    });
    stream.on('data', (chunk: Buffer) => {
      parser.push(chunk);
      this.lastEventId = parser.lastEventId;
      this.retryMs = parser.retryMs ?? this.retryMs;
    });
    stream.on('error', end);
    stream.on('close', end);
  }
}
