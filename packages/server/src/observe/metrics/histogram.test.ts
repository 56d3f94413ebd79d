import { describe, expect, test } from 'vitest';
import { Histogram, LatencyHistogram } from './histogram.ts';
import { histogramSamples } from './scraped-metric.ts';

describe('a histogram', () => {
  test('counts a value in the first bucket whose bound is not below it', () => {
    const histogram = new Histogram([1, 2, 5]);
    for (const value of [0, 1, 1.5, 2, 5, 5.1, 1000]) histogram.record(value);
    expect([...histogram.counts]).toEqual([2, 2, 1, 2]);
    expect(histogram.sum).toBeCloseTo(1014.6);
  });

  test('records a value many times by its weight', () => {
    const histogram = new Histogram([1]);
    histogram.record(0.5, 1000);
    expect([histogram.counts[0], histogram.sum]).toEqual([1000, 500]);
  });

  test('never lets its sum fall or become unknown', () => {
    const histogram = new LatencyHistogram();
    histogram.record(-1);
    histogram.record(Number.NaN);
    expect([histogram.counts[0], histogram.sum]).toEqual([2, 0]);
  });

  test('is exported with cumulative buckets, +Inf, sum and count', () => {
    const histogram = new Histogram([0.1, 1]);
    for (const value of [0.05, 0.5, 3]) histogram.record(value);
    const labels = { route: '/x' };
    expect(histogramSamples('h', histogram, labels)).toEqual([
      { metricName: 'h_bucket', value: 1, labels: { ...labels, le: 0.1 } },
      { metricName: 'h_bucket', value: 2, labels: { ...labels, le: 1 } },
      { metricName: 'h_bucket', value: 3, labels: { ...labels, le: '+Inf' } },
      { metricName: 'h_sum', value: 3.55, labels },
      { metricName: 'h_count', value: 3, labels },
    ]);
  });
});
