import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { TraceCounters } from '../metrics/counters.ts';
import { OtlpTracer } from './otlp-tracer.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SAMPLED = `00-${TRACE}-b7ad6b7169203331-01`;
const UNSAMPLED = `00-${TRACE}-b7ad6b7169203331-00`;

let collector: Server | undefined;
afterEach(() => {
  collector?.closeAllConnections();
  collector?.close();
});

function tracerFor({ url = 'http://127.0.0.1:1', sampleRatio = 1 } = {}) {
  const counters = new TraceCounters();
  const said: string[] = [];
  const tracer = new OtlpTracer({
    url,
    headers: {},
    serviceName: 'push',
    serviceVersion: '1',
    environment: 'development',
    engineKind: 'embedded',
    sampleRatio,
    counters,
    random: () => 0.5,
    onExportFailed: (message) => said.push(message),
  });
  return { tracer, counters, said };
}

describe('a message carries', () => {
  const { tracer } = tracerFor();
  const { tracer: quiet } = tracerFor({ sampleRatio: 0.4 });

  test('the trace of the request, with the span of the publish', () => {
    const carried = tracer.startPublish('send', { traceparent: SAMPLED, tracestate: 'a=1' }).carry({});
    expect(carried).toEqual({
      traceparent: expect.stringMatching(new RegExp(`^00-${TRACE}-(?!b7ad6b7169203331)[0-9a-f]{16}-01$`)),
      tracestate: 'a=1',
    });
  });

  test('the trace that its publisher wrote in its metadata, which wins', () => {
    const other = SAMPLED.replace('0af', '0bf');
    const { traceparent } =
      tracer.startPublish('send', { traceparent: SAMPLED }).carry({ traceparent: other }) ?? {};
    expect(traceparent?.slice(3, 35)).toBe(other.slice(3, 35));
    const batch = tracer.startPublish('batch', { traceparent: SAMPLED });
    expect(batch.carry({ traceparent: other })).toEqual({ traceparent: other });
    expect(batch.carry({})?.traceparent.slice(3, 35)).toBe(TRACE);
  });

  test('a trace that is not recorded as it came', () => {
    expect(tracer.startPublish('send', { traceparent: UNSAMPLED }).carry({})).toEqual({
      traceparent: UNSAMPLED,
    });
  });

  test('a trace of its own for a share of the publishes without one, and nothing otherwise', () => {
    expect(tracer.startPublish('send', undefined).carry({})?.traceparent).toMatch(/^00-.*-01$/);
    expect(quiet.startPublish('send', undefined).carry({})).toBeUndefined();
    expect(quiet.startPublish('send', { traceparent: 'malformed' }).carry({})).toBeUndefined();
  });
});

test('spans beyond the bound are dropped and counted, and a collector that hangs holds up nothing', async () => {
  collector = createServer(() => undefined);
  await new Promise<void>((resolve) => collector?.listen(0, '127.0.0.1', resolve));
  const { port } = collector.address() as AddressInfo;
  const { tracer, counters } = tracerFor({ url: `http://127.0.0.1:${port}/v1/traces` });
  for (let i = 0; i < 16_384 + 7; i++) tracer.startPublish('send', undefined).end(1);
  expect(counters.spans.dropped).toBe(7);
  const startMs = performance.now();
  await tracer.close(50);
  expect(performance.now() - startMs).toBeLessThan(2000);
});

test('a collector that refuses is said once, and its spans are counted', async () => {
  collector = createServer((_request, response) => response.writeHead(401).end());
  await new Promise<void>((resolve) => collector?.listen(0, '127.0.0.1', resolve));
  const { port } = collector.address() as AddressInfo;
  const { tracer, counters, said } = tracerFor({ url: `http://127.0.0.1:${port}/v1/traces` });
  for (let i = 0; i < 600; i++) tracer.startPublish('send', undefined).end(1);
  await tracer.close(5000);
  expect(said).toHaveLength(1);
  expect(counters.spans).toEqual({ exported: 0, failed: 600, dropped: 0 });
});
