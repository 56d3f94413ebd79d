/**
 * The metrics of the service: their names, meanings and sources. The stages count, in the numbers of `counters.ts`;
 * nothing here runs unless somebody scrapes.
 */
import { Registry } from 'prom-client';
import {
  EngineCounters,
  HttpCounters,
  LogCounters,
  PublishCounters,
  ServiceCounters,
  StreamCounters,
  TraceCounters,
} from './counters.ts';
import { EventLoopDelay } from './event-loop-delay.ts';
import type { Histogram } from './histogram.ts';
import { collectProcessMetrics, METRICS_PREFIX as PREFIX } from './process-metrics.ts';
import { histogramSamples, registerScraped, type Sample, samplesOf } from './scraped-metric.ts';

export interface Metrics {
  readonly streams: StreamCounters;
  readonly publish: PublishCounters;
  readonly engine: EngineCounters;
  readonly http: HttpCounters;
  readonly service: ServiceCounters;
  readonly log: LogCounters;
  readonly traces: TraceCounters;
  /** Content type of `text`. */
  readonly contentType: string;
  /** All metrics in Prometheus' text format. */
  text(): Promise<string>;
  close(): void;
}

export function createMetrics(options: { readonly version: string }): Metrics {
  const counters = {
    streams: new StreamCounters(),
    publish: new PublishCounters(),
    engine: new EngineCounters(),
    http: new HttpCounters(),
    service: new ServiceCounters(),
    log: new LogCounters(),
    traces: new TraceCounters(),
  };
  const loopDelay = new EventLoopDelay();
  const registry = new Registry();
  collectProcessMetrics(registry);
  const families = new Families(registry);
  registerService(families, counters, options.version);
  registerEventLoop(registry, loopDelay);
  registerStreams(families, counters.streams);
  registerDeliveries(families, counters.streams);
  registerPublishing(families, counters.publish);
  registerEngine(families, counters.engine);
  registerHttp(families, registry, counters.http);
  return {
    ...counters,
    contentType: registry.contentType,
    text: () => registry.metrics(),
    close: () => loopDelay.close(),
  };
}

/** Registers metrics under the service's prefix. */
class Families {
  readonly #registry: Registry;

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  counter(name: string, help: string, read: () => number | Sample[]): void {
    this.#register('counter', name, help, read);
  }

  gauge(name: string, help: string, read: () => number | Sample[]): void {
    this.#register('gauge', name, help, read);
  }

  histogram(name: string, help: string, source: Histogram): void {
    const fullName = PREFIX + name;
    const read = (): Sample[] => histogramSamples(fullName, source);
    registerScraped(this.#registry, { name: fullName, help, type: 'histogram', read });
  }

  #register(type: 'counter' | 'gauge', name: string, help: string, read: () => number | Sample[]): void {
    registerScraped(this.#registry, { name: PREFIX + name, help, type, read: () => asSamples(read()) });
  }
}

function registerService(
  families: Families,
  { service, log, traces }: Pick<Metrics, 'service' | 'log' | 'traces'>,
  version: string,
): void {
  families.gauge('build_info', 'Version of the service and of Node.js; always 1.', () => [
    { value: 1, labels: { version, node: process.version } },
  ]);
  families.gauge('draining', '1 while the process is stopping, otherwise 0.', () =>
    service.isDraining ? 1 : 0,
  );
  families.gauge('nodes', 'Live nodes, as this node sees them.', () => service.liveNodes);
  families.gauge(
    'certificate_expiry_timestamp_seconds',
    'Expiry of the TLS certificate in use, as a Unix time.',
    () => {
      const expiresAtMs = service.certificateExpiresAtMs;
      return expiresAtMs === undefined ? [] : [{ value: expiresAtMs / 1000 }];
    },
  );
  families.counter('log_lines_lost_total', 'Log lines that could not be written.', () => log.lostLines);
  families.counter(
    'trace_spans_total',
    'Trace spans by result: exported to the collector, failed to export, or dropped because too many waited.',
    () => samplesOf('result', traces.spans),
  );
}

function registerEventLoop(registry: Registry, loopDelay: EventLoopDelay): void {
  const name = `${PREFIX}event_loop_delay_seconds`;
  registerScraped(registry, {
    name,
    help: 'Delay of the event loop; quantiles since the last scrape.',
    type: 'summary',
    read: () => loopDelay.samples(name),
  });
}

function registerStreams(families: Families, streams: StreamCounters): void {
  families.gauge('connections', 'Open streams by state.', () =>
    samplesOf('state', { live: streams.live, catching_up: streams.catchingUp }),
  );
  families.gauge(
    'connections_limit',
    'Maximum number of open streams in this process (MAX_CONNECTIONS).',
    () => streams.limit,
  );
  families.counter('connections_opened_total', 'Streams that were opened.', () => streams.opened);
  families.counter('connections_closed_total', 'Streams that ended, by reason.', () =>
    samplesOf('reason', streams.closed),
  );
  families.counter('connections_refused_total', 'Streams that were turned away, by reason.', () =>
    samplesOf('reason', streams.refused),
  );
  families.counter(
    'stream_errors_total',
    'Requests for a stream that were refused with an HTTP status, by error code.',
    () => samplesOf('code', streams.errors),
  );
  families.gauge('channels_joined', 'Channels with at least one stream.', () => streams.channelsJoined);
  families.gauge('outbox_bytes', 'Unsent bytes of all streams.', () => streams.outboxBytes);
}

function registerDeliveries(families: Families, streams: StreamCounters): void {
  families.counter(
    'deliveries_total',
    'Publications written to streams, counted once per stream.',
    () => streams.deliveries,
  );
  families.counter(
    'delivery_bytes_total',
    'Bytes of publications written to streams.',
    () => streams.deliveryBytes,
  );
  families.histogram(
    'delivery_latency_seconds',
    'Time from accepting a publish to the write to the socket.',
    streams.deliveryLatency,
  );
  families.counter('gaps_total', 'Gaps reported to streams, by reason.', () =>
    samplesOf('reason', streams.gaps),
  );
  families.counter(
    'missed_publications_total',
    'Publications that gaps skipped, as far as their number is known.',
    () => streams.missedPublications,
  );
  families.counter(
    'slow_sessions_total',
    'Live streams that began to catch up because of unsent bytes.',
    () => streams.slowSessions,
  );
  families.counter('catch_up_started_total', 'Times that a stream began to catch up, by cause.', () =>
    samplesOf('cause', streams.catchUps),
  );
  families.counter(
    'catch_up_publications_total',
    'Publications delivered to streams from history.',
    () => streams.catchUpPublications,
  );
  families.counter('catch_up_pages_total', 'Pages of history read for streams.', () => streams.catchUpPages);
}

function registerPublishing(families: Families, publish: PublishCounters): void {
  families.counter('publications_total', 'Publishes by result.', () => samplesOf('result', publish.results));
  families.counter('publish_errors_total', 'Rejected publishes by error code.', () =>
    samplesOf('code', publish.errors),
  );
}

function registerEngine(families: Families, engine: EngineCounters): void {
  families.histogram(
    'engine_commit_latency_seconds',
    'Time from handing a batch to the store until it is durable.',
    engine.commitLatency,
  );
  families.histogram(
    'engine_commit_batch_size',
    'Number of publishes in one commit.',
    engine.commitBatchSize,
  );
  // A figure that the engine does not have yields no sample.
  const detail =
    (name: string, scale = 1) =>
    (): Sample[] => {
      const value = engine.details[name];
      return typeof value === 'number' ? [{ value: value * scale }] : [];
    };
  families.gauge('engine_queue_bytes', 'Bytes of publishes that wait for the engine.', detail('queue_bytes'));
  families.gauge('history_messages', 'Messages in history.', detail('history_messages'));
  families.gauge('history_bytes', 'Bytes of messages in history.', detail('history_bytes'));
  families.gauge('history_channels', 'Channels with history.', detail('history_channels'));
  families.gauge('redis_servers', 'Redis masters that this node uses.', detail('servers'));
  families.gauge('redis_servers_ready', 'Redis masters that are reachable.', detail('servers_ready'));
  families.gauge(
    'redis_servers_heard',
    'Redis masters with a working subscription.',
    detail('servers_heard'),
  );
  families.gauge(
    'bus_lag_seconds',
    'Time from sending a probe over the bus until it returns.',
    detail('bus_lag_ms', 1e-3),
  );
  families.counter('bus_reconnects_total', 'Bus connections that were lost.', detail('bus_reconnects'));
  families.counter(
    'losses_announced_total',
    'Channels that this node found to lack acknowledged messages after a failover.',
    detail('losses_announced'),
  );
  families.gauge('channels_watched', 'Channels subscribed to on the bus.', detail('watched_channels'));
  families.counter('history_trimmed_total', 'Messages removed from history, by cause.', () =>
    samplesOf('cause', engine.trimmed),
  );
}

function registerHttp(families: Families, registry: Registry, http: HttpCounters): void {
  families.counter('http_requests_total', 'Requests by method, route and status.', () =>
    requestSamples(http),
  );
  const name = `${PREFIX}http_request_duration_seconds`;
  registerScraped(registry, {
    name,
    help: 'Time from the headers of a request to the end of its response, streams excepted.',
    type: 'histogram',
    read: () =>
      [...http.routes()].flatMap(({ method, route, duration }) =>
        histogramSamples(name, duration, { method, route }),
      ),
  });
}

function asSamples(read: number | Sample[]): Sample[] {
  return typeof read === 'number' ? [{ value: read }] : read;
}

function requestSamples(http: HttpCounters): Sample[] {
  return [...http.routes()].flatMap(({ method, route, statuses }) =>
    [...statuses].map(([status, value]) => ({ value, labels: { method, route, status } })),
  );
}
