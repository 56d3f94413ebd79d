import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createMetrics, type Metrics } from './metrics.ts';
import { type MetricsServer, openMetricsServer } from './metrics-server.ts';

let metrics: Metrics;
let server: MetricsServer;
const errors: unknown[] = [];
const place = { host: '127.0.0.1', port: 0, onError: (error: unknown) => errors.push(error) };

beforeEach(async () => {
  errors.length = 0;
  metrics = createMetrics({ version: '1.2.3' });
  server = await openMetricsServer({ metrics, ...place });
});
afterEach(async () => {
  await server.close();
  metrics.close();
});

function request(path: string, method = 'GET'): Promise<Response> {
  return fetch(`http://127.0.0.1:${server.port}${path}`, { method });
}

describe('the metrics server', () => {
  test.each(['/sse/metrics', '/metrics', '/metrics?x=1'])('serves %s in the text format', async (path) => {
    const response = await request(path);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(await response.text()).toContain('message_push_build_info{version="1.2.3"');
  });

  test('answers HEAD without a body', async () => {
    const response = await request('/sse/metrics', 'HEAD');
    expect([response.status, await response.text()]).toEqual([200, '']);
    expect(Number(response.headers.get('content-length'))).toBeGreaterThan(1000);
  });

  test('knows no other path and no other method', async () => {
    expect((await request('/')).status).toBe(404);
    const response = await request('/metrics', 'POST');
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  });

  test('answers 500 and goes on when a scrape fails', async () => {
    const failure = new Error('no numbers');
    const broken = { contentType: 'text/plain', text: () => Promise.reject(failure) };
    const other = await openMetricsServer({ metrics: broken, ...place });
    try {
      for (let i = 0; i < 2; i++) {
        expect((await fetch(`http://127.0.0.1:${other.port}/metrics`)).status).toBe(500);
      }
      expect(errors).toEqual([failure, failure]);
    } finally {
      await other.close();
    }
  });

  test('says which variable to change when its port is taken', async () => {
    await expect(openMetricsServer({ metrics, ...place, port: server.port as number })).rejects.toThrow(
      `METRICS_PORT=${server.port}: the port is taken by another process`,
    );
  });

  test('waits for a port that is taken where it may, without holding up the start', async () => {
    const { port } = server;
    const said: string[] = [];
    const successor = await openMetricsServer({
      metrics,
      ...place,
      port: port as number,
      onWaiting: (error) => said.push(error.message),
    });
    expect(successor.port).toBeUndefined();
    expect(said).toEqual([expect.stringContaining(`METRICS_PORT=${port}: the port is taken`)]);
    await server.close();
    server = successor;
    await vi.waitFor(() => expect(successor.port).toBe(port), { timeout: 5000 });
    expect((await request('/metrics')).status).toBe(200);
  });

  test('waits no longer when it is closed', async () => {
    const port = server.port as number;
    const waiting = await openMetricsServer({ metrics, ...place, port, onWaiting: () => undefined });
    await waiting.close();
    await server.close();
    server = await openMetricsServer({ metrics, ...place, port });
    expect((await request('/metrics')).status).toBe(200);
  });
});
