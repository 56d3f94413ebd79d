/** The HTTP of the service for tests, on a real port with TLS, and a client for each of its lanes. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect as connectHttp2, constants, type IncomingHttpHeaders } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { pino } from 'pino';
import { ChannelSet } from '../access/channel-set.ts';
import type { Gate, GateAnswer } from '../access/gate.ts';
import { type RateResult, rateError } from '../access/limits/rate-limiter.ts';
import { anonymous, floorOf, keyPrincipal, type Scope } from '../access/principal.ts';
import { loadConfig } from '../config/load-config.ts';
import { RequestError } from '../core/errors.ts';
import { MemoryDirectory, MemoryEngine } from '../http/api/api-fixture.ts';
import type { Log } from '../observe/log/log.ts';
import { createMetrics, type Metrics } from '../observe/metrics/metrics.ts';
import { Publisher } from '../publish/publisher.ts';
import { SoleNode } from '../sse/sole-node.ts';
import type { Streams } from '../sse/streams.ts';
import type { Access } from './create-access.ts';
import { createHttp, type Http } from './create-http.ts';

/** `fast` is read by the front, `full` by Node's HTTP server and Fastify. */
export const LANES = ['fast', 'full', 'http2'] as const;
export type Lane = (typeof LANES)[number];

export interface LaneRequest {
  readonly method?: 'GET' | 'POST';
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** True if the end of the body is never sent. */
  readonly isCutShort?: boolean;
}

export interface LaneAnswer {
  readonly status: number;
  /** Values by lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly wasContinued: boolean;
}

export interface Lanes {
  readonly engine: MemoryEngine;
  readonly http: Http;
  readonly metrics: Metrics;
  /** Log lines since the last call. */
  takeLines(): Record<string, unknown>[];
  ask(lane: Lane, request: LaneRequest): Promise<LaneAnswer>;
  /** Begins a publish over HTTP/2 and resets its stream before the end of its body. */
  giveUp(request: LaneRequest): Promise<void>;
  /** Sends `text` as it is and resolves with everything until the server ends the connection. */
  askRaw(text: string): Promise<string>;
  close(): Promise<void>;
}

const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5, 678);

export async function startLanes(options: { readonly isOpen: boolean }): Promise<Lanes> {
  const folder = mkdtempSync(join(tmpdir(), 'lanes-'));
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const newKey = '-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes';
  const names = '-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1';
  execFileSync('openssl', `req -x509 ${newKey} ${names} -keyout ${key} -out ${cert}`.split(' '), {
    stdio: 'pipe',
  });
  const { config } = loadConfig({
    env: {
      SERVICE_HOST: '127.0.0.1',
      SERVICE_PORT: '0',
      MAX_MESSAGE_SIZE: '2000',
      MAX_BATCH_BYTES: '4000',
      HSTS_MAX_AGE: '3600',
      ENABLE_SSL: 'true',
      SSL_CERT_PATH: cert,
      SSL_KEY_PATH: key,
      ALLOWED_ORIGINS: 'https://app.example',
    },
    rootDir: folder,
    packageVersion: '1.2.3',
  });
  const lines: Record<string, unknown>[] = [];
  const log: Log = pino({ level: 'debug' }, { write: (line: string) => lines.push(JSON.parse(line)) });
  const metrics = createMetrics({ version: '1.2.3' });
  const engine = new MemoryEngine();
  const directory = new MemoryDirectory();
  const sole = new SoleNode(() => directory);
  const http = await createHttp({
    config: { ...config, service: { ...config.service, port: 0 } },
    place: { kind: 'alone' },
    log,
    metrics,
    engine,
    backups: undefined,
    publisher: new Publisher({
      engine,
      audience: sole,
      serviceName: config.service.name,
      messageTtlMs: 3_600_000,
      maxJsonDepth: 32,
      maxMessageBytes: config.publishing.maxMessageBytes,
      maxBatchBytes: config.publishing.maxBatchBytes,
      maxBatchSize: 10,
      now: () => NOW_MS,
    }),
    streams: streamsStub as unknown as Streams,
    local: directory,
    directory: sole,
    access: { gate: gate(options.isOpen), authorizer: { admit: () => undefined } } as unknown as Access,
    profiler: undefined,
    now: () => NOW_MS,
  });
  await http.start();
  const ca = readFileSync(cert);
  return {
    engine,
    http,
    metrics,
    takeLines: () => lines.splice(0),
    ask: (lane, request) =>
      lane === 'http2' ? askHttp2(http.port, ca, request) : askHttp1(http.port, ca, lane, request),
    giveUp: (request) => giveUpHttp2(http.port, ca, request),
    askRaw: (text) => converse(http.port, ca, text, () => false),
    close: async () => {
      await http.release();
      await http.close();
      metrics.close();
      rmSync(folder, { recursive: true });
    },
  };
}

/** Opens streams that have one event. */
const streamsStub: Pick<Streams, 'isFull' | 'isDraining' | 'open' | 'hold'> = {
  isFull: false,
  isDraining: false,
  hold: (_socket, decision) => decision,
  open: (socket, _plan, head) => {
    socket.end(`${head('c1')}data: one\n\n`);
    socket.destroySoon();
  },
};

/** A gate that tells from the API key what to answer. */
function gate(isOpen: boolean): Pick<Gate, 'isOpen' | 'ask'> {
  const floor = floorOf({ keys: !isOpen, users: false });
  const rate = (isAllowed: boolean): RateResult => ({
    limit: 5,
    windowMs: 60_000,
    remaining: isAllowed ? 4 : 0,
    resetMs: 30_000,
    isAllowed,
  });
  const admitted = (scopes: readonly Scope[], ...patterns: string[]): GateAnswer => ({
    principal: keyPrincipal(
      { name: 'k', scopes, channels: ChannelSet.ofPatterns(patterns), expiresAtMs: undefined },
      floor,
    ),
    rate: rate(true),
  });
  const answerTo = (key: string | undefined): GateAnswer => {
    if (isOpen) return { principal: anonymous(floor), rate: undefined };
    switch (key) {
      case 'publisher':
        return admitted(['publish', 'broadcast', 'read'], '*');
      case 'reader':
        return admitted(['read'], '*');
      case 'narrow':
        return admitted(['publish'], 'user:8');
      case 'busy':
        return { error: rateError(rate(false)), rate: rate(false) };
      case 'broken':
      case 'broken at once':
        throw new Error('the gate is broken');
      default:
        return { error: new RequestError('unauthorized', 'this needs a key'), rate: rate(true) };
    }
  };
  return {
    isOpen,
    ask: (_kind, { apiKey }) => {
      const [key] = apiKey ?? [];
      // A gate answers at once or later.
      return key === 'broken' || key === 'reader'
        ? new Promise((resolve) => setImmediate(resolve)).then(() => answerTo(key))
        : answerTo(key);
    },
  };
}

const HEAD_END = '\r\n\r\n';

function isWhole(text: string): boolean {
  const { head, body } = splitAnswer(text);
  if (head === undefined) return false;
  const length = /^content-length: (\d+)$/im.exec(head)?.[1];
  return length !== undefined && Buffer.byteLength(body) >= Number(length);
}

function splitAnswer(text: string): { head: string | undefined; body: string; wasContinued: boolean } {
  const continued = `HTTP/1.1 100 Continue${HEAD_END}`;
  const wasContinued = text.startsWith(continued);
  const rest = wasContinued ? text.slice(continued.length) : text;
  const end = rest.indexOf(HEAD_END);
  return {
    head: end < 0 ? undefined : rest.slice(0, end),
    body: rest.slice(end + HEAD_END.length),
    wasContinued,
  };
}

async function askHttp1(
  port: number,
  ca: Buffer,
  lane: 'fast' | 'full',
  { method = 'POST', path, headers = {}, body = '', isCutShort }: LaneRequest,
): Promise<LaneAnswer> {
  const given = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const length = Buffer.byteLength(body);
  // The front does not take either of them.
  const full = method === 'GET' ? 'X-A: 1\r\nX-A: 1\r\n' : 'Transfer-Encoding: chunked\r\n';
  const framing = lane === 'full' ? full : method === 'GET' ? '' : `Content-Length: ${length}\r\n`;
  const chunk = `${length === 0 ? '' : `${length.toString(16)}\r\n${body}\r\n`}${isCutShort ? '' : '0\r\n\r\n'}`;
  const bytes = lane === 'full' && method !== 'GET' ? chunk : isCutShort ? body.slice(0, -1) : body;
  const text = `${method} ${path} HTTP/1.1\r\nHost: localhost\r\n${given.join('')}${framing}\r\n${bytes}`;
  const answer = await converse(port, ca, text, isWhole);
  const { head = '', body: answered, wasContinued } = splitAnswer(answer);
  const [statusLine = '', ...fields] = head.split('\r\n');
  const pairs = fields.map((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
  });
  return {
    status: Number(statusLine.split(' ')[1]),
    headers: Object.fromEntries(pairs),
    body: answered,
    wasContinued,
  };
}

function converse(
  port: number,
  ca: Buffer,
  text: string,
  isDone: (text: string) => boolean,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', ca, ALPNProtocols: ['http/1.1'] });
    let answer = '';
    socket.setEncoding('utf8').on('data', (part: string) => {
      answer += part;
      if (isDone(answer)) socket.destroy();
    });
    socket.on('error', reject).on('close', () => resolve(answer));
    socket.write(text);
  });
}

async function giveUpHttp2(
  port: number,
  ca: Buffer,
  { path, headers, body = '' }: LaneRequest,
): Promise<void> {
  const client = connectHttp2(`https://127.0.0.1:${port}`, { ca });
  const request = client.request({
    ':method': 'POST',
    ':path': path,
    ...headers,
    'content-length': Buffer.byteLength(body),
    expect: '100-continue',
  });
  // The handler has the request when it is told to go on.
  await once(request, 'continue');
  request.write(body.slice(0, -1));
  request.close(constants.NGHTTP2_CANCEL);
  await once(request, 'close');
  await new Promise((resolve) => client.ping(resolve));
  client.destroy();
}

function askHttp2(
  port: number,
  ca: Buffer,
  { method = 'POST', path, headers = {}, body = '', isCutShort }: LaneRequest,
): Promise<LaneAnswer> {
  return new Promise((resolve, reject) => {
    const client = connectHttp2(`https://127.0.0.1:${port}`, { ca });
    client.on('error', reject);
    const request = client.request(
      { ':method': method, ':path': path, ...headers },
      { endStream: method === 'GET' },
    );
    let wasContinued = false;
    let answered: IncomingHttpHeaders = {};
    let text = '';
    request
      .on('continue', () => {
        wasContinued = true;
      })
      .on('response', (received) => {
        answered = received;
      })
      .setEncoding('utf8')
      .on('data', (part: string) => {
        text += part;
      })
      .on('error', reject)
      .on('end', () => {
        const { ':status': status, ...rest } = answered as Record<string, unknown>;
        const pairs = Object.entries(rest).map(([name, value]) => [name, String(value)] as const);
        client.destroy();
        resolve({ status: Number(status), headers: Object.fromEntries(pairs), body: text, wasContinued });
      });
    if (method === 'POST' && !isCutShort) request.end(body);
    else if (method === 'POST') request.write(body);
  });
}
