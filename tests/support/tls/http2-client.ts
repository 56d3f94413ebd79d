/** One HTTP/2 connection with as many streams as a test wants, read as EventSource reads them. */
import { readFileSync } from 'node:fs';
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2';
import { EventStreamParser, type StreamEvent } from '@message-push/protocol';
import { waitFor } from '../wait.ts';

const WINDOW_BYTES = 15 * 1024 * 1024;

export class Http2Client {
  readonly session: ClientHttp2Session;
  readonly streams: Http2EventStream[] = [];
  /** Error codes of the GOAWAY frames that came. */
  readonly goaways: number[] = [];
  isClosed = false;

  /** `ca` is the path of the authority that must have signed the server's certificate. */
  constructor(url: string, ca: string) {
    this.session = connect(url, { ca: readFileSync(ca) });
    this.session.on('error', () => this.session.destroy());
    this.session.on('close', () => {
      this.isClosed = true;
    });
    // As browsers do: otherwise one stream that is not read fills the connection's window.
    this.session.on('connect', () => this.session.setLocalWindowSize(WINDOW_BYTES));
    this.session.on('goaway', (code) => this.goaways.push(code));
  }

  open(path: string, headers: Readonly<Record<string, string>> = {}): Http2EventStream {
    const stream = new Http2EventStream(this.session.request({ ':path': path, ...headers }));
    this.streams.push(stream);
    return stream;
  }

  close(): void {
    this.session.destroy();
  }
}

export class Http2EventStream {
  readonly request: ClientHttp2Stream;
  readonly events: StreamEvent[] = [];
  headers: Readonly<Record<string, unknown>> = {};
  lastEventId = '';
  bytes = 0;
  /** Limits reading; `undefined` reads everything at once. */
  bytesPerSecond: number | undefined;
  isEnded = false;

  constructor(request: ClientHttp2Stream) {
    this.request = request;
    const parser = new EventStreamParser({ onEvent: (event) => this.events.push(event) });
    request.on('response', (headers) => {
      this.headers = headers;
    });
    request.on('data', (chunk: Buffer) => {
      this.bytes += chunk.length;
      parser.push(chunk);
      if (this.bytesPerSecond !== undefined) {
        request.pause();
        setTimeout(() => request.resume(), (chunk.length / this.bytesPerSecond) * 1000);
      }
      this.lastEventId = parser.lastEventId;
    });
    request.on('error', () => request.destroy());
    request.on('close', () => {
      this.isEnded = true;
    });
  }

  async opened(): Promise<void> {
    await waitFor('an open stream', () => this.lastEventId !== '');
  }

  async event(
    what: string,
    matches: (event: StreamEvent) => boolean,
    timeoutMs = 10_000,
  ): Promise<StreamEvent> {
    return waitFor(what, () => this.events.find(matches), {
      timeoutMs,
      describe: () => `events so far: ${this.events.map(({ type }) => type).join(', ') || 'none'}`,
    });
  }

  /** The values of `data.number` of the messages so far. */
  numbers(): number[] {
    return this.events.flatMap(({ data }) => {
      const number = (JSON.parse(data) as { data?: { number?: number } }).data?.number;
      return number === undefined ? [] : [number];
    });
  }
}
