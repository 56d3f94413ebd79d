import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LatencyHistogram } from './latency-histogram.ts';

function histogramOf(values: readonly number[]): LatencyHistogram {
  const histogram = new LatencyHistogram();
  for (const value of values) histogram.record(value);
  return histogram;
}

describe('the latency histogram', () => {
  it('gives percentiles that are never below the true one and at most 0.8 % above', () => {
    const values = fc.array(fc.integer({ min: 0, max: 2 ** 31 - 1 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(values, fc.constantFrom(0.01, 0.5, 0.9, 0.99, 1), (list, fraction) => {
        const sorted = [...list].sort((a, b) => a - b);
        const exact = sorted[Math.ceil(list.length * fraction) - 1] ?? Number.NaN;
        const found = histogramOf(list).percentileUs(fraction);
        expect(found).toBeGreaterThanOrEqual(exact);
        expect(found).toBeLessThanOrEqual(exact * (1 + 1 / 127));
      }),
    );
  });

  it('merged from parts equals one that saw everything', () => {
    const lists = fc.array(fc.array(fc.integer({ min: 0, max: 1e9 })), { maxLength: 4 });
    fc.assert(
      fc.property(lists, (parts) => {
        const merged = new LatencyHistogram();
        for (const part of parts) merged.add(histogramOf(part).counts);
        expect(merged.counts).toEqual(histogramOf(parts.flat()).counts);
      }),
    );
  });

  it('takes values out of range as the nearest in range, and is 0 when empty', () => {
    expect(new LatencyHistogram().percentileUs(0.99)).toBe(0);
    expect(histogramOf([-5]).percentileUs(1)).toBe(0);
    expect(histogramOf([1e12]).percentileUs(1)).toBe(2 ** 31 - 1);
  });
});
