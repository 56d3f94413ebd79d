/**
 * Makes one request like a browser: with HTTP/2 if the server offers it, otherwise with HTTP/1.1. Each request has its
 * own connection, so that a broken one affects no other request. Redirects are not followed.
 */
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import type { Duplex, Readable } from 'node:stream';
import { checkServerIdentity, connect as connectTls } from 'node:tls';
import type { Detour } from './options.ts';

export type Protocol = 'HTTP/2' | 'HTTP/1.1';

/** How to connect to the service. */
export interface Way {
  readonly detours: readonly Detour[];
  readonly authorities: string | undefined;
}

export interface Request {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly timeoutMs?: number;
}

export interface Answer {
  readonly protocol: Protocol;
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readable;
  /** Times of the last byte of the request and of the response headers, as `performance.now()`. */
  readonly sentAtMs: number;
  readonly headAtMs: number;
  close(): void;
}

const TIMEOUT_MS = 10_000;
const MAX_TEXT_CHARS = 1_000_000;
/** Encodings that browsers accept. A proxy compresses only for clients that send them. */
const ACCEPT_ENCODING = 'gzip, deflate, br';
const DEFAULT_PORTS: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443 };

export function portOf(url: URL): number {
  return url.port === '' ? (DEFAULT_PORTS[url.protocol] as number) : Number(url.port);
}

export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

/** The connection was made, but no response arrived. */
export class NoAnswerError extends Error {}

/** Resolves when the response headers have arrived; rejects when they do not arrive in time. */
export async function exchange(way: Way, url: URL, request: Request = {}): Promise<Answer> {
  const { timeoutMs = TIMEOUT_MS } = request;
  let socket: Socket | undefined;
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new NoAnswerError(`no answer within ${timeoutMs / 1000} s`)), timeoutMs);
  });
  try {
    const connected = connectTo(way, url, (opened) => {
      socket = opened;
    });
    return await Promise.race([
      connected.then((protocol) => ask(socket as Socket, protocol, url, request)),
      timeout,
    ]);
  } catch (error) {
    socket?.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Reads the whole body of a finite response. */
export async function textOf(answer: Answer): Promise<string> {
  let text = '';
  const { body } = answer;
  const timer = setTimeout(() => body.destroy(new Error('the answer does not end')), TIMEOUT_MS);
  try {
    for await (const part of body) {
      text += part;
      if (text.length > MAX_TEXT_CHARS) break;
    }
    return text;
  } finally {
    clearTimeout(timer);
    answer.close();
  }
}

async function connectTo(way: Way, url: URL, onSocket: (socket: Socket) => void): Promise<Protocol> {
  const urlPort = portOf(url);
  const detour =
    way.detours.find((d) => d.urlPort === urlPort) ?? way.detours.find((d) => d.urlPort === undefined);
  const host = hostOf(url);
  const address = { host: detour?.host ?? host, port: detour?.port ?? urlPort };
  if (url.protocol === 'http:') {
    const socket = connectTcp(address);
    onSocket(socket);
    await opened(socket, 'connect');
    return 'HTTP/1.1';
  }
  const socket = connectTls({
    ...address,
    // [spec] RFC 6066, 3: IP addresses are not allowed here.
    ...(/^[\d.]+$|:/.test(host) ? {} : { servername: host }),
    ALPNProtocols: ['h2', 'http/1.1'],
    ...(way.authorities !== undefined && { ca: way.authorities }),
    checkServerIdentity: (_name, certificate) => checkServerIdentity(host, certificate),
  });
  onSocket(socket);
  await opened(socket, 'secureConnect');
  return socket.alpnProtocol === 'h2' ? 'HTTP/2' : 'HTTP/1.1';
}

function opened(socket: Socket, event: string): Promise<void> {
  socket.setNoDelay(true);
  return new Promise((resolve, reject) => {
    socket.once(event, () => {
      socket.removeListener('error', reject);
      resolve();
    });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the connection was closed')));
  });
}

function ask(socket: Socket, protocol: Protocol, url: URL, request: Request): Promise<Answer> {
  const headers: Record<string, string> = { 'accept-encoding': ACCEPT_ENCODING, ...request.headers };
  if (request.body !== undefined) headers['content-length'] = String(Buffer.byteLength(request.body));
  return protocol === 'HTTP/2'
    ? askHttp2(socket, url, request, headers)
    : askHttp1(socket, url, request, headers);
}

function askHttp1(
  socket: Socket,
  url: URL,
  { method = 'GET', body }: Request,
  headers: Readonly<Record<string, string>>,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      {
        method,
        path: pathOf(url),
        headers: { host: url.host, ...headers },
        createConnection: () => socket as Duplex,
      },
      (response) => {
        resolve({
          protocol: 'HTTP/1.1',
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: response,
          sentAtMs,
          headAtMs: performance.now(),
          close: () => socket.destroy(),
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
    const sentAtMs = performance.now();
  });
}

function askHttp2(
  socket: Socket,
  url: URL,
  { method = 'GET', body }: Request,
  headers: Readonly<Record<string, string>>,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const session = connectHttp2(url.origin, { createConnection: () => socket });
    session.on('error', reject);
    const stream = session.request({ ':method': method, ':path': pathOf(url), ...headers });
    stream.on('error', reject);
    stream.on('close', () => reject(new Error('the stream was closed without an answer')));
    stream.on('response', (head) => {
      resolve({
        protocol: 'HTTP/2',
        status: Number(head[':status']),
        headers: head as IncomingHttpHeaders,
        body: stream,
        sentAtMs,
        headAtMs: performance.now(),
        close: () => {
          session.destroy();
          socket.destroy();
        },
      });
    });
    stream.end(body);
    const sentAtMs = performance.now();
  });
}

function pathOf(url: URL): string {
  return url.pathname + url.search;
}
