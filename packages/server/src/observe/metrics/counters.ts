/**
 * The counters of all stages, as plain numbers: `streams.opened++` is the whole cost of observing a message. Each stage
 * gets its own part and is the only one that writes it; `metrics.ts` reads all of them when scraped.
 *
 * Some fields (`live`, `outboxBytes` …) are gauges: the code that raises one also lowers it.
 */
import { GAP_REASONS, type GapReason } from '@message-push/protocol';
import { ERROR_KINDS, type ErrorCode } from '../../core/errors.ts';
import { STREAM_ENDS, type StreamEnd } from '../../core/stream-ends.ts';
import { Histogram, LatencyHistogram } from './histogram.ts';

/** Reasons for refusing a stream before it is opened. */
export const STREAM_REFUSALS = [
  'too_many_connections',
  'too_many_connections_of_user',
  'too_many_connections_of_address',
  'draining',
  'engine_failed',
  'rate_limited',
  'authorization_unavailable',
  'revoked',
] as const satisfies readonly StreamEnd[];
export type StreamRefusal = (typeof STREAM_REFUSALS)[number];

/** Causes of catching up: the client sent a position, it reads too slowly, or a notification on the bus was lost. */
export const CATCH_UP_CAUSES = ['resume', 'slow', 'hole'] as const;
export type CatchUpCause = (typeof CATCH_UP_CAUSES)[number];

export const PUBLISH_RESULTS = ['stored', 'repeat', 'rejected'] as const;
export type PublishResult = (typeof PUBLISH_RESULTS)[number];

export const TRIM_CAUSES = ['count', 'bytes', 'ttl', 'total_bytes'] as const;
export type TrimCause = (typeof TRIM_CAUSES)[number];

function zeros<K extends string>(keys: readonly K[]): Record<K, number> {
  return Object.fromEntries(keys.map((key) => [key, 0])) as Record<K, number>;
}

/** Counters of streams, their sessions and the bytes written to them. */
export class StreamCounters {
  // Gauges: open streams by state, the limit on them, their unsent bytes, and channels with at least one stream.
  live = 0;
  catchingUp = 0;
  /** Largest number of open streams. */
  limit = 0;
  outboxBytes = 0;
  channelsJoined = 0;

  opened = 0;
  readonly closed: Record<StreamEnd, number> = zeros(Object.keys(STREAM_ENDS) as StreamEnd[]);
  readonly refused: Record<StreamRefusal, number> = zeros(STREAM_REFUSALS);
  /** Requests for a stream that were refused with an HTTP status, by the code of the error. */
  readonly errors: Record<ErrorCode, number> = zeros(Object.keys(ERROR_KINDS) as ErrorCode[]);

  /** Publications written to streams, counted once per stream, and their bytes on the wire. */
  deliveries = 0;
  deliveryBytes = 0;
  /** Gap events by the reason given for the channel. */
  readonly gaps: Record<GapReason, number> = zeros(GAP_REASONS);
  /** Publications that gaps skipped, as far as their number is known. */
  missedPublications = 0;

  /** Live sessions that began to catch up because of unsent bytes. */
  slowSessions = 0;
  readonly catchUps: Record<CatchUpCause, number> = zeros(CATCH_UP_CAUSES);
  catchUpPublications = 0;
  catchUpPages = 0;

  /** Time from accepting a publish to the write to the socket, in seconds. */
  readonly deliveryLatency = new LatencyHistogram();
}

export class PublishCounters {
  readonly results: Record<PublishResult, number> = zeros(PUBLISH_RESULTS);
  readonly errors: Record<ErrorCode, number> = zeros(Object.keys(ERROR_KINDS) as ErrorCode[]);
}

export class EngineCounters {
  /** Gauges of the engine at the last scrape, by their names in its health. Each engine has its own set. */
  details: Readonly<Record<string, unknown>> = {};

  readonly trimmed: Record<TrimCause, number> = zeros(TRIM_CAUSES);
  /** Time from handing a batch to the store until it is durable, in seconds. */
  readonly commitLatency = new LatencyHistogram();
  /** Number of publishes in one commit. */
  readonly commitBatchSize = new Histogram([1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000]);
}

/** Counters for one method and route. A handler keeps its own, so that recording needs no lookup. */
export class RouteCounters {
  readonly method: string;
  readonly route: string;
  readonly statuses = new Map<number, number>();
  readonly duration = new LatencyHistogram();

  constructor(method: string, route: string) {
    this.method = method;
    this.route = route;
  }

  record(status: number, seconds: number): void {
    this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1);
    this.duration.record(seconds);
  }
}

export class HttpCounters {
  readonly #routes = new Map<string, RouteCounters>();

  /**
   * `route` is the pattern (`/sse/user/{user_id}`), never the path: each path would become a time series of its own.
   * Keep the result, except where a lookup per request does not matter.
   */
  route(method: string, route: string): RouteCounters {
    const key = `${method} ${route}`;
    let counters = this.#routes.get(key);
    if (counters === undefined) {
      counters = new RouteCounters(method, route);
      this.#routes.set(key, counters);
    }
    return counters;
  }

  routes(): Iterable<RouteCounters> {
    return this.#routes.values();
  }
}

export class ServiceCounters {
  isDraining = false;
  /** Gauge: live nodes, as this node sees them. */
  liveNodes = 1;
  /** `undefined` without TLS. */
  certificateExpiresAtMs: number | undefined;
}

export const SPAN_RESULTS = ['exported', 'failed', 'dropped'] as const;

export class TraceCounters {
  readonly spans: Record<(typeof SPAN_RESULTS)[number], number> = zeros(SPAN_RESULTS);
}

export class LogCounters {
  lostLines = 0;
}
