/**
 * The metrics of the service: their names, what they mean and where their numbers come from. Counting itself is
 * in `counters.ts`; nothing here runs unless somebody scrapes.
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
  /** The content type that `text` answers with. */
  readonly contentType: string;
  /** All metrics in Prometheus' text format. */
  text(): Promise<string>;
  close(): void;
}

export function createMetrics(options: { readonly version: string }): Metrics {
  const streams = new StreamCounters();
  const publish = new PublishCounters();
  const engine = new EngineCounters();
  const http = new HttpCounters();
  const service = new ServiceCounters();
  const log = new LogCounters();
  const traces = new TraceCounters();
  const loopDelay = new EventLoopDelay();

  const registry = new Registry();
  collectProcessMetrics(registry);

  const counter = (name: string, help: string, read: () => number | Sample[]): void =>
    registerScraped(registry, { name: PREFIX + name, help, type: 'counter', read: () => asSamples(read()) });
  const gauge = (name: string, help: string, read: () => number | Sample[]): void =>
    registerScraped(registry, { name: PREFIX + name, help, type: 'gauge', read: () => asSamples(read()) });
  const histogram = (name: string, help: string, source: Histogram): void =>
    registerScraped(registry, {
      name: PREFIX + name,
      help,
      type: 'histogram',
      read: () => histogramSamples(PREFIX + name, source),
    });

  gauge('build_info', 'Version of the service and of Node.js; always 1.', () => [
    { value: 1, labels: { version: options.version, node: process.version } },
  ]);
  gauge('draining', '1 while the process stops, otherwise 0.', () => (service.isDraining ? 1 : 0));
  gauge('nodes', 'Nodes that are alive, as this one sees them.', () => service.liveNodes);
  gauge(
    'certificate_expiry_timestamp_seconds',
    'End of the TLS certificate that is shown, as a Unix time.',
    () => {
      const expiresAtMs = service.certificateExpiresAtMs;
      return expiresAtMs === undefined ? [] : [{ value: expiresAtMs / 1000 }];
    },
  );
  counter('log_lines_lost_total', 'Log lines that could not be written.', () => log.lostLines);
  counter(
    'trace_spans_total',
    'Spans of traces by result: taken by the collector, refused by it, or too many.',
    () => samplesOf('result', traces.spans),
  );
  registerScraped(registry, {
    name: `${PREFIX}event_loop_delay_seconds`,
    help: 'How late the event loop is; quantiles since the last scrape.',
    type: 'summary',
    read: () => loopDelay.samples(`${PREFIX}event_loop_delay_seconds`),
  });

  gauge('connections', 'Open streams by state.', () =>
    samplesOf('state', { live: streams.live, catching_up: streams.catchingUp }),
  );
  gauge('connections_limit', 'Open streams that this process takes (MAX_CONNECTIONS).', () => streams.limit);
  counter('connections_opened_total', 'Streams that were opened.', () => streams.opened);
  counter('connections_closed_total', 'Streams that ended, by reason.', () =>
    samplesOf('reason', streams.closed),
  );
  counter('connections_refused_total', 'Streams that were turned away, by reason.', () =>
    samplesOf('reason', streams.refused),
  );
  counter(
    'stream_errors_total',
    'Requests for a stream that were refused with a status, by the code of their error.',
    () => samplesOf('code', streams.errors),
  );
  gauge('channels_joined', 'Channels with at least one stream.', () => streams.channelsJoined);
  gauge('outbox_bytes', 'Unsent bytes of all streams.', () => streams.outboxBytes);

  counter(
    'deliveries_total',
    'Publications written to a stream, summed over streams.',
    () => streams.deliveries,
  );
  counter('delivery_bytes_total', 'Bytes of publications written to streams.', () => streams.deliveryBytes);
  histogram(
    'delivery_latency_seconds',
    'From accepting a publish to the write to the socket.',
    streams.deliveryLatency,
  );
  counter('gaps_total', 'Gaps that streams were told of, by reason.', () =>
    samplesOf('reason', streams.gaps),
  );
  counter(
    'missed_publications_total',
    'Publications that gaps passed over, where their number is known.',
    () => streams.missedPublications,
  );
  counter(
    'slow_sessions_total',
    'Live streams that were set to catching up because of unsent bytes.',
    () => streams.slowSessions,
  );
  counter('catch_up_started_total', 'Times that a stream began to catch up, by cause.', () =>
    samplesOf('cause', streams.catchUps),
  );
  counter(
    'catch_up_publications_total',
    'Publications that streams were given from history.',
    () => streams.catchUpPublications,
  );
  counter('catch_up_pages_total', 'Pages of history that streams read.', () => streams.catchUpPages);

  counter('publications_total', 'Publishes by result.', () => samplesOf('result', publish.results));
  counter('publish_errors_total', 'Rejected publishes by error code.', () =>
    samplesOf('code', publish.errors),
  );

  histogram(
    'engine_commit_latency_seconds',
    'From handing a batch to the store until it is durable.',
    engine.commitLatency,
  );
  histogram('engine_commit_batch_size', 'Publishes that one commit carried.', engine.commitBatchSize);
  // What an engine does not have is not shown.
  const detail =
    (name: string, scale = 1) =>
    (): Sample[] => {
      const value = engine.details[name];
      return typeof value === 'number' ? [{ value: value * scale }] : [];
    };
  gauge('engine_queue_bytes', 'Bytes of publishes that wait for the engine.', detail('queue_bytes'));
  gauge('history_messages', 'Messages in history.', detail('history_messages'));
  gauge('history_bytes', 'Bytes of messages in history.', detail('history_bytes'));
  gauge('history_channels', 'Channels with history.', detail('history_channels'));
  gauge('redis_servers', 'Redis masters that this node uses.', detail('servers'));
  gauge('redis_servers_ready', 'Redis masters that can be asked.', detail('servers_ready'));
  gauge('redis_servers_heard', 'Redis masters whose bus is heard.', detail('servers_heard'));
  gauge('bus_lag_seconds', 'From sending a probe over the bus until it is back.', detail('bus_lag_ms', 1e-3));
  counter('bus_reconnects_total', 'Bus connections that were lost.', detail('bus_reconnects'));
  counter(
    'losses_announced_total',
    'Channels that this node has found to lack acknowledged messages after a failover.',
    detail('losses_announced'),
  );
  gauge('channels_watched', 'Channels that are heard on the bus.', detail('watched_channels'));
  counter('history_trimmed_total', 'Messages that left history, by cause.', () =>
    samplesOf('cause', engine.trimmed),
  );

  counter('http_requests_total', 'Requests by method, route and status.', () => requestSamples(http));
  registerScraped(registry, {
    name: `${PREFIX}http_request_duration_seconds`,
    help: 'From the head of a request to the end of its answer, streams excepted.',
    type: 'histogram',
    read: () =>
      [...http.routes()].flatMap(({ method, route, duration }) =>
        histogramSamples(`${PREFIX}http_request_duration_seconds`, duration, { method, route }),
      ),
  });

  return {
    streams,
    publish,
    engine,
    http,
    service,
    log,
    traces,
    contentType: registry.contentType,
    text: () => registry.metrics(),
    close: () => loopDelay.close(),
  };
}

function asSamples(read: number | Sample[]): Sample[] {
  return typeof read === 'number' ? [{ value: read }] : read;
}

function requestSamples(http: HttpCounters): Sample[] {
  return [...http.routes()].flatMap(({ method, route, statuses }) =>
    [...statuses].map(([status, value]) => ({ value, labels: { method, route, status } })),
  );
}
