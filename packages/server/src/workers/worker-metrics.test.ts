import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ToWorker } from './worker-messages.ts';
import { WorkerMetrics } from './worker-metrics.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function fakeWorker() {
  const asked: ToWorker[] = [];
  return { asked, send: (message: ToWorker) => asked.push(message) };
}

describe('the metrics of workers', () => {
  it('come from the worker that was asked, in whichever order the answers come', async () => {
    const metrics = new WorkerMetrics(1000);
    const first = fakeWorker();
    const second = fakeWorker();
    const answers = Promise.all([metrics.scrape(first), metrics.scrape(second)]);
    expect([...first.asked, ...second.asked]).toEqual([
      { type: 'scrape', id: 1 },
      { type: 'scrape', id: 2 },
    ]);
    metrics.take({ type: 'scraped', id: 2, text: 'second' });
    metrics.take({ type: 'scraped', id: 1, text: 'first' });
    expect(await answers).toEqual(['first', 'second']);
  });

  it('are not waited for beyond the time, and a late answer is passed over', async () => {
    const metrics = new WorkerMetrics(1000);
    const answer = metrics.scrape(fakeWorker());
    vi.advanceTimersByTime(1000);
    expect(await answer).toBeUndefined();
    metrics.take({ type: 'scraped', id: 1, text: 'late' });
    expect(vi.getTimerCount()).toBe(0);
  });
});
