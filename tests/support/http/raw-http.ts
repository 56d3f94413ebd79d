/** Requests written byte by byte, for what an HTTP library would not send or would tidy up. */
import { connect } from 'node:net';
import { within } from '../wait.ts';

export interface RawAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export interface RawRequest {
  readonly method?: string;
  readonly path: string;
  /** Headers in the order in which they are sent; names may repeat. */
  readonly headers?: readonly (readonly [string, string])[];
  readonly body?: string | Uint8Array;
  readonly version?: '1.0' | '1.1';
  /** Sends the body in chunks rather than with a length. */
  readonly isChunked?: boolean;
}

const HEAD_END = '\r\n\r\n';

export function rawRequestText(port: number, request: RawRequest): Buffer {
  const { method = 'GET', path, headers = [], body, version = '1.1', isChunked = false } = request;
  const lines = [`${method} ${path} HTTP/${version}`, `Host: 127.0.0.1:${port}`];
  for (const [name, value] of headers) lines.push(`${name}: ${value}`);
  if (body === undefined) return Buffer.from(`${lines.join('\r\n')}${HEAD_END}`);
  const bytes = Buffer.from(body);
  lines.push(isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${bytes.length}`);
  const head = Buffer.from(`${lines.join('\r\n')}${HEAD_END}`);
  if (!isChunked) return Buffer.concat([head, bytes]);
  const middle = Math.ceil(bytes.length / 2);
  const parts = [bytes.subarray(0, middle), bytes.subarray(middle)].filter((part) => part.length > 0);
  const chunks = parts.flatMap((part) => [
    Buffer.from(`${part.length.toString(16)}\r\n`),
    part,
    Buffer.from('\r\n'),
  ]);
  return Buffer.concat([head, ...chunks, Buffer.from('0\r\n\r\n')]);
}

/** Sends one request on its own connection and resolves with the final answer. */
export function rawRequest(port: number, request: RawRequest, timeoutMs = 5000): Promise<RawAnswer> {
  return rawExchange(port, rawRequestText(port, request), request.method === 'HEAD', timeoutMs);
}

export async function rawExchange(
  port: number,
  text: Uint8Array,
  isHead = false,
  timeoutMs = 5000,
): Promise<RawAnswer> {
  const [answer] = await rawConversation(port, text, { count: 1, isHead, timeoutMs });
  return answer as RawAnswer;
}

/** Sends `text` and reads `count` answers. */
export function rawConversation(
  port: number,
  text: Uint8Array,
  { count, isHead = false, timeoutMs = 5000 }: { count: number; isHead?: boolean; timeoutMs?: number },
): Promise<RawAnswer[]> {
  const socket = connect({ port, host: '127.0.0.1' });
  const answers = new Promise<RawAnswer[]>((resolve, reject) => {
    const found: RawAnswer[] = [];
    let received = Buffer.alloc(0);
    const take = (hasEnded: boolean): void => {
      while (found.length < count) {
        const parsed = parseAnswer(received, isHead, hasEnded);
        if (parsed === undefined) return;
        found.push(parsed.answer);
        received = parsed.rest;
      }
      resolve(found);
    };
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      take(false);
    });
    socket.on('error', reject);
    socket.on('end', () => {
      take(true);
      if (found.length < count) reject(new Error(`the connection ended after ${found.length} answers`));
    });
  });
  socket.on('connect', () => socket.write(text));
  return within('an answer', timeoutMs, answers).finally(() => socket.destroy());
}

function parseAnswer(
  bytes: Buffer,
  isHead: boolean,
  hasEnded: boolean,
): { answer: RawAnswer; rest: Buffer<ArrayBuffer> } | undefined {
  const end = bytes.indexOf(HEAD_END);
  if (end < 0) return undefined;
  const [statusLine = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n');
  const status = Number(statusLine.split(' ')[1]);
  const rest = Buffer.from(bytes.subarray(end + HEAD_END.length));
  // After 100 Continue the final answer is still to come.
  if (status < 200) return parseAnswer(rest, isHead, hasEnded);
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
    }),
  );
  if (isHead || status === 204) return { answer: { status, headers, body: '' }, rest };
  const length = headers.get('content-length') ?? (hasEnded ? rest.length : undefined);
  if (length === undefined || rest.length < Number(length)) return undefined;
  const body = rest.toString('utf8', 0, Number(length));
  return { answer: { status, headers, body }, rest: Buffer.from(rest.subarray(Number(length))) };
}
