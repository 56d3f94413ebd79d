/**
 * A stream on a bare socket that behaves like a browser's EventSource: it reconnects after an end, a reset or a refused
 * connection, with the id of the last complete block, and never after an answer that is not an event stream. It can
 * also be cut at any byte and can read as slowly as a test wants.
 */
import { connect, type Socket } from 'node:net';
import { EventStreamParser, type StreamEvent } from '@message-push/protocol';
import { waitFor } from '../wait.ts';

export interface StreamClientOptions {
  readonly port: number;
  /** Path and query. */
  readonly path: string;
  /** Called for every event instead of keeping it in `events`. */
  readonly onEvent?: (type: string, data: string, lastEventId: string, client: StreamClient) => void;
  readonly headers?: Readonly<Record<string, string>>;
  /** Resumes from here, as a stream that was seen before. */
  readonly lastEventId?: string;
  /** The local address; by default the kernel chooses it. */
  readonly localAddress?: string;
  /** False allows one connection only. */
  readonly reconnects?: boolean;
  /** An upper bound for the server's `retry:`, so that a test need not wait. */
  readonly maxRetryMs?: number;
  /** Bytes that are read from the kernel per second; `undefined` reads everything. */
  readonly bytesPerSecond?: number;
}

const HEAD_END = '\r\n\r\n';
const DEFAULT_RETRY_MS = 50;
const SLOW_READ_BYTES = 1024;

export class StreamClient {
  readonly events: StreamEvent[] = [];
  lastEventId = '';
  /** The last `retry:` of the server, without the bound. */
  retryMs: number | undefined;
  /** Status of the last response. */
  status: number | undefined;
  headers: ReadonlyMap<string, string> = new Map();
  /** Responses that were event streams. */
  opens = 0;
  /** Connections that ended after they were open, by either side. */
  ends = 0;
  /** Ends that the server caused. */
  endsByPeer = 0;
  bytes = 0;
  /** Blocks without data that moved the last event id. */
  idOnlyBlocks = 0;
  /** True after an answer that is not an event stream, which ends an EventSource for good (HTML standard). */
  isFailed = false;
  isClosed = false;
  readonly #options: StreamClientOptions;
  #socket: Socket | undefined;
  #isOpen = false;
  #timer: NodeJS.Timeout | undefined;
  #resumeTimer: NodeJS.Timeout | undefined;
  #bytesPerSecond: number | undefined;
  #cutAfterBytes = Number.POSITIVE_INFINITY;
  /** Bytes of the body still to come, if its length is known: a proxy's own answer may end before its connection. */
  #bytesToCome = Number.POSITIVE_INFINITY;
  #isHeldOff = false;

  constructor(options: StreamClientOptions) {
    this.#options = options;
    this.#bytesPerSecond = options.bytesPerSecond;
    this.lastEventId = options.lastEventId ?? '';
    this.#connect();
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Reads `bytes` more, wherever in an event they end, and then destroys the socket. */
  cutAfter(bytes: number): void {
    this.#cutAfterBytes = bytes;
    if (bytes <= 0) this.#cut();
  }

  /** Cuts the connection and stays away until `comeBack`. */
  holdOff(): void {
    this.#isHeldOff = true;
    clearTimeout(this.#timer);
    this.#cut();
  }

  comeBack(): void {
    if (!this.#isHeldOff) return;
    this.#isHeldOff = false;
    this.#connect();
  }

  /** Reads without a limit from now on. */
  readAtFullSpeed(): void {
    this.#bytesPerSecond = undefined;
    clearTimeout(this.#resumeTimer);
    this.#socket?.resume();
  }

  /** Stops reading. */
  stopReading(): void {
    this.#bytesPerSecond = 0;
    this.#socket?.pause();
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.#timer);
    this.#cut();
  }

  /** The first event that `matches`, received or still to come. */
  async event(
    what: string,
    matches: (event: StreamEvent) => boolean,
    timeoutMs = 10_000,
  ): Promise<StreamEvent> {
    return waitFor(what, () => this.events.find(matches), {
      timeoutMs,
      describe: () => `events so far: ${this.events.map((e) => e.type).join(', ') || 'none'}`,
    });
  }

  async opened(timeoutMs = 10_000): Promise<void> {
    await waitFor('an open stream', () => this.opens > 0 && this.lastEventId !== '', { timeoutMs });
  }

  async ended(timeoutMs = 10_000): Promise<void> {
    await waitFor('the end of the stream', () => this.opens > 0 && !this.#isOpen, { timeoutMs });
  }

  #connect(): void {
    const { port, path, headers = {}, localAddress } = this.#options;
    const parser = new EventStreamParser({
      onEvent: (event) => this.#take(event),
      onIdOnly: () => this.idOnlyBlocks++,
      lastEventId: this.lastEventId,
    });
    let head = '';
    let isInBody = false;
    const onBytes = (chunk: Buffer): boolean => {
      if (socket !== this.#socket) return true;
      this.bytes += chunk.length;
      if (!isInBody) {
        head += chunk.toString('latin1');
        const end = head.indexOf(HEAD_END);
        if (end < 0) return true;
        const bodyBytes = head.length - end - HEAD_END.length;
        isInBody = true;
        if (!this.#takeHead(head.slice(0, end))) {
          this.isFailed = true;
          this.#cut();
          return true;
        }
        chunk = chunk.subarray(chunk.length - bodyBytes);
      }
      this.#takeBody(parser, chunk);
      return this.#mayReadOn(socket, chunk.length);
    };
    const buffer = Buffer.allocUnsafe(this.#bytesPerSecond === undefined ? 65_536 : SLOW_READ_BYTES);
    const socket = connect({
      port,
      host: '127.0.0.1',
      ...(localAddress !== undefined && { localAddress }),
      // A small buffer limits how much is read from the kernel at a time, which makes a slow reader slow.
      onread: { buffer, callback: (size, into) => onBytes(Buffer.from(into.subarray(0, size))) },
    });
    this.#socket = socket;
    socket.setNoDelay(true);
    const lines = [`GET ${path} HTTP/1.1`, `Host: 127.0.0.1:${port}`, 'Accept: text/event-stream'];
    if (this.lastEventId !== '') lines.push(`Last-Event-ID: ${this.lastEventId}`);
    for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
    socket.on('connect', () => socket.write(`${lines.join('\r\n')}${HEAD_END}`));
    socket.on('error', () => socket.destroy());
    socket.on('end', () => socket.end());
    socket.on('close', () => {
      if (socket === this.#socket) this.#gone('peer');
    });
  }

  #takeHead(head: string): boolean {
    const [statusLine = '', ...lines] = head.split('\r\n');
    this.status = Number(statusLine.split(' ')[1]);
    this.headers = new Map(
      lines.map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
      }),
    );
    const isEventStream = this.headers.get('content-type')?.startsWith('text/event-stream') === true;
    // This client reads bare frames: chunks would be read as text.
    if (this.status !== 200 || !isEventStream || this.headers.has('transfer-encoding')) return false;
    this.opens++;
    this.#isOpen = true;
    this.#bytesToCome = Number(this.headers.get('content-length') ?? Number.POSITIVE_INFINITY);
    return true;
  }

  #takeBody(parser: EventStreamParser, chunk: Buffer): void {
    const isLast = chunk.length >= this.#cutAfterBytes;
    const taken = isLast ? chunk.subarray(0, this.#cutAfterBytes) : chunk;
    this.#cutAfterBytes -= taken.length;
    parser.push(taken);
    this.lastEventId = parser.lastEventId;
    this.retryMs = parser.retryMs ?? this.retryMs;
    this.#bytesToCome -= taken.length;
    if (isLast) this.#cut();
    else if (this.#bytesToCome <= 0) this.#cut('peer');
  }

  #mayReadOn(socket: Socket, bytes: number): boolean {
    if (this.#bytesPerSecond === undefined) return true;
    if (this.#bytesPerSecond > 0) {
      clearTimeout(this.#resumeTimer);
      this.#resumeTimer = setTimeout(() => socket.resume(), (bytes / this.#bytesPerSecond) * 1000);
    }
    return false;
  }

  #take(event: StreamEvent): void {
    this.lastEventId = event.lastEventId;
    if (this.#options.onEvent === undefined) this.events.push(event);
    else this.#options.onEvent(event.type, event.data, event.lastEventId, this);
  }

  #cut(by: 'peer' | 'us' = 'us'): void {
    const socket = this.#socket;
    this.#socket = undefined;
    clearTimeout(this.#resumeTimer);
    socket?.destroy();
    if (socket !== undefined) this.#gone(by);
  }

  #gone(by: 'peer' | 'us'): void {
    this.#socket = undefined;
    this.#cutAfterBytes = Number.POSITIVE_INFINITY;
    if (this.#isOpen) {
      this.ends++;
      if (by === 'peer') this.endsByPeer++;
    }
    this.#isOpen = false;
    if (this.isClosed || this.isFailed || this.#isHeldOff || this.#options.reconnects === false) return;
    const retryMs = Math.min(this.retryMs ?? DEFAULT_RETRY_MS, this.#options.maxRetryMs ?? DEFAULT_RETRY_MS);
    this.#timer = setTimeout(() => this.#connect(), retryMs);
  }
}
