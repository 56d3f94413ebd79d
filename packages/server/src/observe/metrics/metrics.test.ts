import { spawnSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createMetrics, type Metrics } from './metrics.ts';

let metrics: Metrics;
beforeEach(() => {
  metrics = createMetrics({ version: '1.2.3' });
});
afterEach(() => metrics.close());

/** Metrics with a value in each, and with labels that need escaping. */
function count(): void {
  const { streams, publish, engine, http, service } = metrics;
  streams.live = 3;
  streams.catchingUp = 1;
  streams.opened = 5;
  streams.closed.stalled++;
  streams.gaps.trimmed += 2;
  streams.deliveryLatency.record(0.003, 10);
  publish.results.stored += 7;
  publish.errors.id_conflict++;
  engine.commitLatency.record(0.02);
  engine.commitBatchSize.record(70);
  engine.trimmed.total_bytes = 4;
  http.route('POST', '/sse/api/v1/messages/send').record(200, 0.001);
  http.route('POST', '/sse/api/v1/messages/send').record(422, 0.0002);
  http.route('GET', '/odd"route\\\n').record(404, 0.1);
  service.isDraining = true;
}

function promtool(text: string): { status: number | null; output: string } {
  const { status, stdout, stderr, error } = spawnSync('promtool', ['check', 'metrics'], {
    input: text,
    encoding: 'utf8',
  });
  if (error !== undefined) throw error;
  return { status, output: stdout + stderr };
}

describe('promtool check metrics is silent', () => {
  test('before anything has been counted', async () => {
    expect(promtool(await metrics.text())).toEqual({ status: 0, output: '' });
  });

  test('when everything has been counted', async () => {
    count();
    expect(promtool(await metrics.text())).toEqual({ status: 0, output: '' });
  });
});

test('the numbers of the stages are what a scrape shows', async () => {
  count();
  const lines = (await metrics.text()).split('\n');
  for (const line of [
    `message_push_build_info{version="1.2.3",node="${process.version}"} 1`,
    'message_push_draining 1',
    'message_push_connections{state="live"} 3',
    'message_push_connections{state="catching_up"} 1',
    'message_push_connections_opened_total 5',
    'message_push_connections_closed_total{reason="stalled"} 1',
    'message_push_connections_closed_total{reason="kicked"} 0',
    'message_push_gaps_total{reason="trimmed"} 2',
    'message_push_publications_total{result="stored"} 7',
    'message_push_publish_errors_total{code="id_conflict"} 1',
    'message_push_delivery_latency_seconds_bucket{le="0.0025"} 0',
    'message_push_delivery_latency_seconds_bucket{le="0.005"} 10',
    'message_push_delivery_latency_seconds_bucket{le="+Inf"} 10',
    'message_push_delivery_latency_seconds_sum 0.03',
    'message_push_delivery_latency_seconds_count 10',
    'message_push_engine_commit_batch_size_bucket{le="50"} 0',
    'message_push_engine_commit_batch_size_bucket{le="100"} 1',
    'message_push_history_trimmed_total{cause="total_bytes"} 4',
    'message_push_http_requests_total{method="POST",route="/sse/api/v1/messages/send",status="422"} 1',
    'message_push_http_request_duration_seconds_count{method="POST",route="/sse/api/v1/messages/send"} 2',
    'message_push_log_lines_lost_total 0',
  ]) {
    expect(lines).toContain(line);
  }
});

test('every metric of the service bears its prefix, beside the standard ones of the process', async () => {
  const names = [...(await metrics.text()).matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1]);
  expect(names).toContain('process_resident_memory_bytes');
  expect(names.filter((name) => !/^(message_push|process|nodejs)_/.test(name ?? ''))).toEqual([]);
  expect(names).toContain('message_push_event_loop_delay_seconds');
});

test('the counters of a route are made once', () => {
  expect(metrics.http.route('GET', '/')).toBe(metrics.http.route('GET', '/'));
  expect(metrics.http.route('GET', '/')).not.toBe(metrics.http.route('HEAD', '/'));
});
