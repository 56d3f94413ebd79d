/**
 * A histogram of latencies in µs, with log-linear buckets (128 per power of two: at most 0.8 % off).
 *
 * `perf_hooks.createHistogram` cannot be sent between processes with its counts, and percentiles cannot be
 * merged; the counts of this one are a plain array, so that a percentile over all workers is exact to the bucket.
 */

const SUB_BUCKETS = 128;
const SUB_BITS = 7;
const BUCKETS = (31 - SUB_BITS) * SUB_BUCKETS + 2 * SUB_BUCKETS;
const MAX_US = 2 ** 31 - 1;

export interface LatencySummary {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
}

export class LatencyHistogram {
  readonly counts: Float64Array;

  constructor(counts: Float64Array = new Float64Array(BUCKETS)) {
    this.counts = counts;
  }

  record(us: number): void {
    const value = us < 0 ? 0 : us > MAX_US ? MAX_US : us | 0;
    const shift = 31 - Math.clz32(value) - SUB_BITS;
    const bucket = shift <= 0 ? value : shift * SUB_BUCKETS + (value >>> shift);
    this.counts[bucket]!++; // bucket < BUCKETS for every value up to MAX_US
  }

  /** Adds the counts of another histogram. */
  add(counts: Float64Array): void {
    for (let i = 0; i < BUCKETS; i++) this.counts[i]! += counts[i] ?? 0;
  }

  reset(): void {
    this.counts.fill(0);
  }

  get count(): number {
    return this.counts.reduce((sum, n) => sum + n, 0);
  }

  /**
   * Returns the highest value of the bucket that holds the `fraction` quantile (0 < fraction ≤ 1), µs; 0 when empty.
   */
  percentileUs(fraction: number): number {
    const rank = Math.ceil(this.count * fraction);
    if (rank === 0) return 0;
    let seen = 0;
    for (let i = 0; i < BUCKETS; i++) {
      seen += this.counts[i] ?? 0;
      if (seen >= rank) return upperBoundUs(i);
    }
    return MAX_US;
  }

  summary(): LatencySummary {
    const ms = (fraction: number) => this.percentileUs(fraction) / 1000;
    return { count: this.count, p50Ms: ms(0.5), p99Ms: ms(0.99), p999Ms: ms(0.999), maxMs: ms(1) };
  }
}

function upperBoundUs(bucket: number): number {
  if (bucket < 2 * SUB_BUCKETS) return bucket;
  const shift = Math.floor(bucket / SUB_BUCKETS) - 1;
  return (bucket - shift * SUB_BUCKETS + 1) * 2 ** shift - 1;
}
