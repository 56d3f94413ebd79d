/** A trace continues from the publisher through the service to its streams, and nothing depends on the collector. */
import { randomBytes } from 'node:crypto';
import { afterEach, expect, it } from 'vitest';
import { requestJson } from '../support/http/http.ts';
import { Scrape } from '../support/monitoring/metrics.ts';
import { OtlpCollector } from '../support/monitoring/otlp-collector.ts';
import { RedisServer } from '../support/redis/redis-server.ts';
import { standaloneEnv } from '../support/redis/service-env.ts';
import { TestServer } from '../support/service/server.ts';
import { StreamClient } from '../support/streams/stream-client.ts';

const SECRET = 'what-only-subscribers-read';
const PARENT = 'b7ad6b7169203331';
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function startCollector(): Promise<OtlpCollector> {
  const collector = await OtlpCollector.start();
  closing.push(() => collector.close());
  return collector;
}

async function startServer(env: Readonly<Record<string, string>>): Promise<TestServer> {
  const server = await TestServer.start({ env: { ENABLE_TRACING: 'true', ...env } });
  closing.push(() => server.dispose());
  return server;
}

async function openStream({ port }: TestServer): Promise<StreamClient> {
  const stream = new StreamClient({ port, path: '/sse/user/u' });
  closing.push(() => stream.close());
  await stream.opened();
  return stream;
}

const newTrace = (): string => randomBytes(16).toString('hex');

async function publish(
  { url }: TestServer,
  headers: Readonly<Record<string, string>> = {},
  more: object = {},
): Promise<{ status: number; id: string }> {
  const body = { type: 'info', service: 'test', target: { user_id: 'u' }, data: { SECRET }, ...more };
  const { status, json } = await requestJson<{ message_id: string }>(`${url}/sse/api/v1/messages/send`, {
    headers,
    body,
  });
  return { status, id: json.message_id };
}

async function metadataAt(stream: StreamClient, id: string): Promise<Record<string, unknown>> {
  const event = await stream.event(`message ${id}`, ({ data }) => data.includes(id));
  return (JSON.parse(event.data) as { metadata: Record<string, unknown> }).metadata;
}

it('a publish, its commit and its delivery are one trace with its publisher and its reader', async () => {
  const collector = await startCollector();
  const server = await startServer({
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20abc',
    OTEL_SERVICE_NAME: 'push',
  });
  const stream = await openStream(server);
  const traceId = newTrace();
  const { id } = await publish(server, { traceparent: `00-${traceId}-${PARENT}-01`, tracestate: 'a=1,b=2' });

  const [first, store, deliver] = await collector.trace(traceId, ['publish', 'store', 'deliver']);
  expect(first).toMatchObject({
    parentSpanId: PARENT,
    kind: 2,
    traceState: 'a=1,b=2',
    attributes: {
      'http.request.method': 'POST',
      'http.route': '/sse/api/v1/messages/send',
      'http.response.status_code': 200,
      'messaging.message.id': id,
      'messaging.batch.message_count': 1,
      'message_push.message.type': 'info',
      'message_push.channels': 1,
    },
    resource: { 'service.name': 'push' },
  });
  expect(store).toMatchObject({
    parentSpanId: first?.spanId,
    attributes: {
      'messaging.message.id': id,
      'message_push.engine': 'embedded',
      'message_push.ack': 'stored',
      'message_push.outcome': 'stored',
    },
  });
  expect(deliver).toMatchObject({
    parentSpanId: first?.spanId,
    attributes: { 'messaging.message.id': id, 'message_push.connections': 1 },
  });
  for (const span of [store, deliver]) {
    expect(BigInt(span?.startTimeUnixNano ?? 0)).toBeGreaterThanOrEqual(
      BigInt(first?.startTimeUnixNano ?? 0),
    );
    expect(BigInt(span?.endTimeUnixNano ?? 0)).toBeGreaterThanOrEqual(BigInt(span?.startTimeUnixNano ?? 0));
  }
  expect(await metadataAt(stream, id)).toEqual({
    priority: 'normal',
    ttl: 3600,
    tracestate: 'a=1,b=2',
    traceparent: `00-${traceId}-${first?.spanId}-01`,
  });
  expect(collector.path).toBe('/v1/traces');
  expect(collector.headers.authorization).toBe('Bearer abc');
  expect(collector.text).not.toContain(SECRET);
});

it('a repeat in another trace is a repeat, and a conflict is named', async () => {
  const collector = await startCollector();
  const server = await startServer({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  const traces = [newTrace(), newTrace(), newTrace()];
  const bodies = [{ id: 'a' }, { id: 'a' }, { id: 'a', type: 'error' }];
  const statuses: number[] = [];
  const outcomes: unknown[] = [];
  for (const [i, traceId] of traces.entries()) {
    const answer = await publish(server, { traceparent: `00-${traceId}-${PARENT}-01` }, bodies[i]);
    statuses.push(answer.status);
    const [store] = await collector.trace(traceId, ['store']);
    outcomes.push(store?.attributes['message_push.outcome']);
  }
  expect(statuses).toEqual([200, 200, 409]);
  expect(outcomes).toEqual(['stored', 'repeat', 'conflict']);
});

it('a batch is one publish, and a message of it may stand in a trace of its own', async () => {
  const collector = await startCollector();
  const server = await startServer({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  const stream = await openStream(server);
  const [ofRequest, ofMessage] = [newTrace(), newTrace()];
  const own = `00-${ofMessage}-${PARENT}-01`;
  const message = { type: 'info', service: 'test', target: { user_id: 'u' }, data: {} };
  await requestJson(`${server.url}/sse/api/v1/messages/batch`, {
    headers: { traceparent: `00-${ofRequest}-${PARENT}-01` },
    body: [
      { ...message, id: 'plain' },
      { ...message, id: 'other', metadata: { traceparent: own, note: 1 } },
    ],
  });
  const [deliver] = await collector.trace(ofMessage, ['deliver']);
  expect(deliver).toMatchObject({ parentSpanId: PARENT, attributes: { 'messaging.message.id': 'other' } });
  const [request] = await collector.trace(ofRequest, ['publish', 'deliver']);
  expect(request?.attributes['messaging.batch.message_count']).toBe(2);
  const stores = collector.spans.filter(({ name }) => name === 'store');
  expect(stores.map(({ parentSpanId }) => parentSpanId)).toEqual([request?.spanId, request?.spanId]);
  expect(stores.map(({ links }) => links?.map(({ traceId }) => traceId) ?? [])).toEqual([[], [ofMessage]]);
  expect(await metadataAt(stream, '"other"')).toMatchObject({ traceparent: own, note: 1 });
});

it('a caller that is not sampled is carried and not recorded, and what is malformed counts as absent', async () => {
  const collector = await startCollector();
  const server = await startServer({
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_TRACES_SAMPLER_ARG: '0',
  });
  const stream = await openStream(server);
  const traceparent = `00-${newTrace()}-${PARENT}-00`;
  const carried = await publish(server, { traceparent });
  const malformed = await publish(server, { traceparent: 'x' });
  // Through the full HTTP lane, which accepts other forms of heads.
  const slow = await publish(server, { traceparent, origin: server.url });
  expect((await metadataAt(stream, carried.id))['traceparent']).toBe(traceparent);
  expect((await metadataAt(stream, slow.id))['traceparent']).toBe(traceparent);
  expect(await metadataAt(stream, malformed.id)).toEqual({ priority: 'normal', ttl: 3600 });
  await server.stop();
  expect(collector.spans).toEqual([]);
});

it('one trace goes over Redis to a stream on another node', async () => {
  const redis = await RedisServer.start();
  closing.push(() => redis.dispose());
  const collector = await startCollector();
  const env = { ...standaloneEnv(redis), OTEL_EXPORTER_OTLP_ENDPOINT: collector.url };
  const [a, b] = [await startServer(env), await startServer(env)];
  const stream = await openStream(b);
  const traceId = newTrace();
  const { id } = await publish(a, { traceparent: `00-${traceId}-${PARENT}-01` });
  const [first, store, deliver] = await collector.trace(traceId, ['publish', 'store', 'deliver']);
  expect((await metadataAt(stream, id))['traceparent']).toBe(`00-${traceId}-${first?.spanId}-01`);
  expect(store?.attributes['message_push.engine']).toBe('redis');
  expect(deliver?.parentSpanId).toBe(first?.spanId);
  expect(first?.resource['process.pid']).toBe(a.pid);
  expect(deliver?.resource['process.pid']).toBe(b.pid);
  expect(collector.spans.filter((span) => span.name === 'deliver')).toHaveLength(1);
});

it('a dead collector costs no message and holds up no stop', async () => {
  const server = await startServer({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' });
  const stream = await openStream(server);
  const ids: string[] = [];
  for (let i = 0; i < 300; i++) {
    const { status, id } = await publish(server);
    expect(status).toBe(200);
    ids.push(id);
  }
  for (const id of ids) await metadataAt(stream, id);
  stream.close();
  const exported = (await Scrape.of(server.metricsPort)).sum('message_push_trace_spans_total', {
    result: 'exported',
  });
  expect(exported).toBe(0);
  const startMs = performance.now();
  expect(await server.stop()).toEqual({ code: 0, signal: null });
  expect(performance.now() - startMs).toBeLessThan(5000);
});
