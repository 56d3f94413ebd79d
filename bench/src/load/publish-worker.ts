/**
 * A process that publishes by POST on keep-alive connections, one request at a time on each.
 *
 * In lanes mode each connection is a lane of its own, whose messages go to all streams. In targets mode each connection
 * picks random streams among its own (number modulo connections), so that the messages of one stream come from one
 * connection and have a defined order.
 */
import { connect, type Socket } from 'node:net';
import { monotonicUs } from './clock.ts';
import { LatencyHistogram } from './latency-histogram.ts';
import { type PublishRequest, RequestTemplate } from './request-template.ts';
import { ResponseReader } from './response-reader.ts';
import { serveCalls } from './rpc.ts';

export interface OpenPublishers {
  readonly host: string;
  /** Port of the server, or ports of several nodes that share the load. */
  readonly ports: readonly number[];
  readonly request: PublishRequest;
  /** This worker's connections are `first` … `first + count - 1` of `total`. */
  readonly first: number;
  readonly count: number;
  readonly total: number;
  /** Number of streams to aim at; 0 selects lanes mode. */
  readonly targets: number;
}

export interface PublishSnapshot {
  readonly atUs: number;
  /** Messages of requests that succeeded. */
  readonly published: number;
  readonly requests: number;
  /** Requests that were refused or broke. */
  readonly failed: number;
  /** Milliseconds in which a due request had no free connection. */
  readonly late: number;
  readonly cpuUs: number;
}

export interface Published {
  readonly perLane: Int32Array;
  readonly perStream: Int32Array;
  readonly firstError: string | undefined;
}

const STOP_TIMEOUT_MS = 30_000;
const shared = Buffer.allocUnsafe(256 * 1024);
const latency = new LatencyHistogram();

let mode: 'stopped' | 'full' | 'paced' | 'each' = 'stopped';
let publishers: Publisher[] = [];
let perLane = new Int32Array(0);
let perStream = new Int32Array(0);
let published = 0;
let requests = 0;
let failed = 0;
let late = 0;
let firstError: string | undefined;

class Publisher {
  isBusy = false;
  readonly #options: OpenPublishers;
  readonly #lane: number;
  readonly #template: RequestTemplate;
  readonly #reader = new ResponseReader();
  readonly #targets: Int32Array;
  readonly #socket: Socket;
  /** Messages of an `each` round that have been aimed. */
  #aimed = 0;
  #sentUs = 0;
  onIdle: () => void = () => undefined;

  constructor(options: OpenPublishers, index: number) {
    this.#options = options;
    this.#lane = options.first + index;
    const port = portOf(options, this.#lane);
    this.#template = new RequestTemplate(options.request, `${options.host}:${port}`);
    this.#targets = new Int32Array(this.#template.messages);
    this.#socket = connect({
      host: options.host,
      port,
      noDelay: true,
      onread: { buffer: shared, callback: (length, bytes) => this.#read(bytes, length) },
    });
    this.#socket.on('error', (error) => this.#fail(error.message));
    this.#socket.on('close', () => this.#fail('the server closed a publisher connection'));
  }

  /** Sends one message to each of this connection's own streams, one after the other. */
  sendEach(): void {
    this.#aimed = 0;
    if (this.#own > 0) this.send();
  }

  get #own(): number {
    return Math.ceil((this.#options.targets - this.#lane) / this.#options.total);
  }

  send(): void {
    this.isBusy = true;
    const now = monotonicUs();
    this.#sentUs = now;
    if (this.#options.targets === 0) {
      const sequence = perLane[this.#lane] ?? 0;
      for (let i = 0; i < this.#targets.length; i++) {
        this.#template.stamp(i, this.#lane, sequence + 1 + i, now);
      }
    } else {
      this.#aim(now);
    }
    this.#socket.write(this.#template.bytes);
  }

  /**
   * Counts a message when it is aimed, since a batch may name a stream twice; `#takeBack` undoes it after a refusal.
   */
  #aim(now: number): void {
    const { total } = this.#options;
    for (let i = 0; i < this.#targets.length; i++) {
      const pick = mode === 'each' ? this.#aimed++ : Math.floor(Math.random() * this.#own);
      const target = this.#lane + total * pick;
      const sequence = (perStream[target] ?? 0) + 1;
      perStream[target] = sequence;
      this.#targets[i] = target;
      this.#template.aim(i, target);
      this.#template.stamp(i, 0, sequence, now);
    }
  }

  #takeBack(): void {
    failed++;
    if (this.#options.targets > 0) for (const target of this.#targets) perStream[target]!--; // target < targets
  }

  #read(bytes: Uint8Array, length: number): boolean {
    const status = this.#reader.feed(bytes, length);
    if (status === 0) return true;
    requests++;
    const isAccepted =
      status >= 200 && status < 300 && (!this.#options.request.isBatch || this.#reader.hasNoFailures);
    if (isAccepted) {
      published += this.#targets.length;
      if (this.#options.targets === 0) perLane[this.#lane]! += this.#targets.length; // lane < total
    } else {
      this.#takeBack();
      firstError ??= `${status} ${this.#reader.body.toString('latin1', 0, 500)}`;
    }
    this.#reader.next();
    latency.record(monotonicUs() - this.#sentUs);
    this.isBusy = false;
    if (mode === 'full' || (mode === 'each' && this.#aimed < this.#own)) this.send();
    else this.onIdle();
    return true;
  }

  #fail(why: string): void {
    if (this.isBusy) this.#takeBack();
    firstError ??= why;
    this.isBusy = false;
    this.onIdle();
  }
}

/**
 * Adjacent connections share a node, but streams are assigned in turn, so a connection reaches streams of all nodes.
 */
function portOf({ ports, total }: OpenPublishers, lane: number): number {
  return ports[Math.floor((lane * ports.length) / total)] as number;
}

/** Sends `perSecond` requests a second, evenly spaced, each on a free connection. */
function pace(perSecond: number): void {
  const startUs = monotonicUs();
  let sent = 0;
  let next = 0;
  const timer = setInterval(() => {
    if (mode !== 'paced') {
      clearInterval(timer);
      return;
    }
    const due = Math.floor(((monotonicUs() - startUs) * perSecond) / 1e6);
    while (sent < due) {
      const free = nextFree(next);
      if (free === undefined) {
        late++;
        return;
      }
      next = free + 1;
      sent++;
      publishers[free]?.send();
    }
  }, 1);
}

function nextFree(from: number): number | undefined {
  for (let i = 0; i < publishers.length; i++) {
    const index = (from + i) % publishers.length;
    if (publishers[index]?.isBusy === false) return index;
  }
  return undefined;
}

function untilIdle(): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`publishes were not answered within ${STOP_TIMEOUT_MS} ms`)),
      STOP_TIMEOUT_MS,
    );
    const check = () => {
      if (publishers.some((publisher) => publisher.isBusy)) return;
      clearTimeout(timer);
      resolve();
    };
    for (const publisher of publishers) publisher.onIdle = check;
    check();
  });
}

const handlers = {
  async open(options: OpenPublishers): Promise<void> {
    perLane = new Int32Array(options.total);
    perStream = new Int32Array(options.targets);
    publishers = Array.from({ length: options.count }, (_, i) => new Publisher(options, i));
  },

  async startFull(_: undefined): Promise<void> {
    mode = 'full';
    for (const publisher of publishers) publisher.send();
  },

  async startPaced({ perSecond }: { readonly perSecond: number }): Promise<void> {
    mode = 'paced';
    pace(perSecond);
  },

  /** Sends one message to every stream, each in its own request, and waits for the responses. */
  async publishEach(_: undefined): Promise<void> {
    mode = 'each';
    for (const publisher of publishers) publisher.sendEach();
    await untilIdle();
  },

  async stop(_: undefined): Promise<Published> {
    mode = 'stopped';
    await untilIdle();
    return { perLane, perStream, firstError };
  },

  async snapshot(_: undefined): Promise<PublishSnapshot> {
    const { user, system } = process.cpuUsage();
    return { atUs: monotonicUs(), published, requests, failed, late, cpuUs: user + system };
  },

  async resetLatency(_: undefined): Promise<void> {
    latency.reset();
  },

  async latencyCounts(_: undefined): Promise<Float64Array> {
    return latency.counts;
  },
};

export type PublishApi = typeof handlers;

serveCalls(handlers);
