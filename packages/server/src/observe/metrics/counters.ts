/**
 * What the stages count, as plain numbers: `streams.opened++` is all that a message pays for being observed.
 * Each stage is handed its own part and is the only one that writes it; `metrics.ts` reads them when scraped.
 *
 * Fields that end a life at 0 (`live`, `queueBytes` …) are gauges: whoever raises them lowers them.
 */
import { GAP_REASONS, type GapReason } from '@message-push/protocol';
import { ERROR_KINDS, type ErrorCode } from '../../core/errors.ts';
import { STREAM_ENDS, type StreamEnd } from '../../core/stream-ends.ts';
import { Histogram, LatencyHistogram } from './histogram.ts';

/** Why a stream is turned away before it is opened. */
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

/** Why a session catches up: it came with a position, its peer reads too slowly, or the bus left a hole. */
export const CATCH_UP_CAUSES = ['resume', 'slow', 'hole'] as const;
export type CatchUpCause = (typeof CATCH_UP_CAUSES)[number];

export const PUBLISH_RESULTS = ['stored', 'repeat', 'rejected'] as const;
export type PublishResult = (typeof PUBLISH_RESULTS)[number];

export const TRIM_CAUSES = ['count', 'bytes', 'ttl', 'total_bytes'] as const;
export type TrimCause = (typeof TRIM_CAUSES)[number];

function zeros<K extends string>(keys: readonly K[]): Record<K, number> {
  return Object.fromEntries(keys.map((key) => [key, 0])) as Record<K, number>;
}

/** Streams, their sessions and what is written to them. */
export class StreamCounters {
  /** Gauges: open streams by state, their unsent bytes, and channels with at least one stream. */
  live = 0;
  catchingUp = 0;
  /** Open streams that are allowed. */
  limit = 0;
  outboxBytes = 0;
  channelsJoined = 0;

  opened = 0;
  readonly closed: Record<StreamEnd, number> = zeros(Object.keys(STREAM_ENDS) as StreamEnd[]);
  readonly refused: Record<StreamRefusal, number> = zeros(STREAM_REFUSALS);
  /** Refused with a status, by the code of the error: who asks is not allowed to, or it is a fault of ours. */
  readonly errors: Record<ErrorCode, number> = zeros(Object.keys(ERROR_KINDS) as ErrorCode[]);

  /** Publications written to a stream, summed over streams, and their bytes on the wire. */
  deliveries = 0;
  deliveryBytes = 0;
  /** Gap events by the reason of the channel that they name. */
  readonly gaps: Record<GapReason, number> = zeros(GAP_REASONS);
  /** Publications that a gap passed over, where their number is known. */
  missedPublications = 0;

  /** Live sessions that were set to catching up because of unsent bytes. */
  slowSessions = 0;
  readonly catchUps: Record<CatchUpCause, number> = zeros(CATCH_UP_CAUSES);
  catchUpPublications = 0;
  catchUpPages = 0;

  /** From the moment that a publish was accepted to the write to the socket, in seconds. */
  readonly deliveryLatency = new LatencyHistogram();
}

export class PublishCounters {
  readonly results: Record<PublishResult, number> = zeros(PUBLISH_RESULTS);
  readonly errors: Record<ErrorCode, number> = zeros(Object.keys(ERROR_KINDS) as ErrorCode[]);
}

export class EngineCounters {
  /** Gauges. */
  /** The engine's figures at the last scrape, by their names in its health. Each engine has its own. */
  details: Readonly<Record<string, unknown>> = {};

  readonly trimmed: Record<TrimCause, number> = zeros(TRIM_CAUSES);
  /** From handing a batch to the store until it is durable, in seconds. */
  readonly commitLatency = new LatencyHistogram();
  /** Publishes that one commit carried. */
  readonly commitBatchSize = new Histogram([1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000]);
}

/** Requests of one method and route. A handler keeps its own and records by a number. */
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
   * `route` is the pattern (`/sse/user/{user_id}`), never the path: every other path would be a time series of
   * its own. Ask once per route, or per request where that is not on the way of a message.
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
  /** Gauge: nodes that are alive, as this one sees them. */
  liveNodes = 1;
  /** undefined: no TLS. */
  certificateExpiresAtMs: number | undefined;
}

export const SPAN_RESULTS = ['exported', 'failed', 'dropped'] as const;

export class TraceCounters {
  readonly spans: Record<(typeof SPAN_RESULTS)[number], number> = zeros(SPAN_RESULTS);
}

export class LogCounters {
  lostLines = 0;
}
