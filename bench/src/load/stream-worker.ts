/**
 * A process that holds SSE streams as raw sockets and counts what arrives.
 *
 * All streams read into one shared buffer, so that ten thousand of them need no memory per read; each slow reader has a
 * buffer of its own for one read.
 */
import { connect, type Socket } from 'node:net';
import { monotonicUs } from './clock.ts';
import { EventCounter, type Mismatch } from './event-counter.ts';
import { serveCalls } from './rpc.ts';
import { TARGET_DIGITS, TARGET_PLACEHOLDER } from './stamp.ts';

export interface OpenStreams {
  readonly host: string;
  /** Port of the server, or ports of several nodes that share the load. */
  readonly ports: readonly number[];
  /** Path of the streams; `TARGET_PLACEHOLDER` in it is replaced by the stream's number. */
  readonly path: string;
  /** This worker's streams are `first` … `first + count - 1`. */
  readonly first: number;
  readonly count: number;
  readonly lanes: number;
  readonly maxEventBytes: number;
  readonly keepsIds: boolean;
  /** Number of connections that are set up at the same time. */
  readonly maxConnecting: number;
  /** Number of streams, from the first, whose reads can be slowed down; they are excluded from the latencies. */
  readonly slow: number;
  readonly slowReadBytes: number;
}

export interface Opened {
  readonly open: number;
  readonly failed: number;
  readonly ms: number;
}

export interface StreamSnapshot {
  readonly atUs: number;
  readonly messages: number;
  readonly bytes: number;
  readonly otherEvents: number;
  readonly gaps: number;
  /** Streams that the server closed or that broke. */
  readonly broken: number;
  /** CPU time of this worker. */
  readonly cpuUs: number;
}

/** The numbers of published messages: per lane to every stream, or per stream. */
export type Expectation = { readonly perLane: Int32Array } | { readonly perStream: Int32Array };

const OPEN_TIMEOUT_MS = 60_000;
const shared = Buffer.allocUnsafe(256 * 1024);

let options: OpenStreams;
let counter: EventCounter;
let sockets: (Socket | undefined)[] = [];
let isSlow = false;
let broken = 0;
/** Called when a stream's response head has been accepted, or the stream has failed. */
let settled: (wasAccepted: boolean) => void = () => undefined;

function openStream(index: number): void {
  const number = options.first + index;
  const port = options.ports[number % options.ports.length] as number;
  const lastId = counter.lastIds[index];
  let isSettled = false;
  const settle = (wasAccepted: boolean) => {
    if (isSettled) return;
    isSettled = true;
    settled(wasAccepted);
  };
  const slow = number < options.slow;
  const socket = connect({
    host: options.host,
    port,
    noDelay: true,
    onread: {
      buffer: slow ? Buffer.allocUnsafe(options.slowReadBytes) : shared,
      callback: (length, bytes) => {
        const state = counter.feed(index, bytes as Buffer, length, monotonicUs());
        if (state === 'accepted') settle(true);
        else if (state === 'refused') socket.destroy();
        // A slow reader takes one buffer and then waits for the next tick of `slowTimer`.
        return !(slow && isSlow);
      },
    },
  });
  sockets[index] = socket;
  socket.on('error', () => settle(false));
  socket.on('close', () => {
    settle(false);
    if (sockets[index] !== socket) return; // dropped by this worker
    broken++;
    sockets[index] = undefined;
  });
  const path = options.path.replace(TARGET_PLACEHOLDER, String(number).padStart(TARGET_DIGITS, '0'));
  const resume = lastId === undefined ? '' : `Last-Event-ID: ${lastId}\r\n`;
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: ${options.host}:${port}\r\nAccept: text/event-stream\r\n${resume}\r\n`,
  );
}

/** Opens all streams, `maxConnecting` at a time, and resolves when each is open or has failed. */
function openAll(maxConnecting: number): Promise<Opened> {
  const startUs = monotonicUs();
  let next = 0;
  let open = 0;
  let failed = 0;
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      settled = () => undefined;
      resolve({ open, failed: options.count - open, ms: (monotonicUs() - startUs) / 1000 });
    };
    const timer = setTimeout(finish, OPEN_TIMEOUT_MS);
    settled = (wasAccepted) => {
      if (wasAccepted) open++;
      else failed++;
      if (open + failed === options.count) finish();
      else if (next < options.count) openStream(next++);
    };
    while (next < Math.min(maxConnecting, options.count)) openStream(next++);
  });
}

function dropAll(): void {
  const dropped = sockets;
  sockets = [];
  for (const socket of dropped) socket?.destroy();
}

let slowTimer: NodeJS.Timeout | undefined;

const handlers = {
  async open(wanted: OpenStreams): Promise<Opened> {
    options = wanted;
    counter = new EventCounter({
      streams: wanted.count,
      lanes: wanted.lanes,
      maxEventBytes: wanted.maxEventBytes,
      keepsIds: wanted.keepsIds,
    });
    counter.sampledFrom = Math.max(0, wanted.slow - wanted.first);
    return openAll(wanted.maxConnecting);
  },

  /** Drops every stream and opens them all again in the same turn. */
  async reconnect({ resumes }: { readonly resumes: boolean }): Promise<Opened> {
    dropAll();
    for (let i = 0; i < options.count; i++) counter.restart(i);
    if (!resumes) counter.lastIds.length = 0;
    return openAll(options.count);
  },

  async snapshot(_: undefined): Promise<StreamSnapshot> {
    const { user, system } = process.cpuUsage();
    const { messages, bytes, otherEvents, gaps } = counter;
    return { atUs: monotonicUs(), messages, bytes, otherEvents, gaps, broken, cpuUs: user + system };
  },

  /** Resets the latency histogram; a `sampleEvery` of 0 stops it. */
  async sampleLatency({ sampleEvery }: { readonly sampleEvery: number }): Promise<void> {
    counter.latency.reset();
    counter.sampleEvery = sampleEvery;
  },

  async latencyCounts(_: undefined): Promise<Float64Array> {
    return counter.latency.counts;
  },

  async compare(expected: Expectation): Promise<Mismatch> {
    return counter.compare((stream, lane) =>
      'perLane' in expected
        ? (expected.perLane[lane] ?? 0)
        : (expected.perStream[options.first + stream] ?? 0),
    );
  },

  /** Makes the slow streams read only `slowReadBytes` a second from now on. */
  async slowDown(_: undefined): Promise<void> {
    isSlow = true;
    const slowHere = Math.max(0, Math.min(options.count, options.slow - options.first));
    slowTimer = setInterval(() => {
      for (let i = 0; i < slowHere; i++) sockets[i]?.resume();
    }, 1000);
  },

  async speedUp(_: undefined): Promise<void> {
    isSlow = false;
    clearInterval(slowTimer);
    for (const socket of sockets) socket?.resume();
  },

  /** Closes every stream; the counts are kept. */
  async close(_: undefined): Promise<void> {
    dropAll();
  },
};

export type StreamApi = typeof handlers;

serveCalls(handlers);
