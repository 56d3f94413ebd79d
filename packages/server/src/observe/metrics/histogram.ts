/** A histogram with fixed buckets. Recording costs a few comparisons and additions. */

/** Bounds from 50 µs, below which differences do not matter here, to the 10 s at which clients give up. */
export const LATENCY_BOUNDS_SECONDS: readonly number[] = [
  0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
  10,
];

export class Histogram {
  /** Inclusive upper bounds, in ascending order. */
  readonly bounds: readonly number[];
  /** Count per bucket, not cumulative. There is one more than bounds: the last holds values above all of them. */
  readonly counts: Float64Array;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  /** Records `value` `weight` times: one write may carry a publication to many streams. */
  record(value: number, weight = 1): void {
    // A clock that steps back yields negative times, and Prometheus takes a falling sum for a restart.
    if (!(value > 0)) value = 0;
    const { bounds, counts } = this;
    let bucket = 0;
    // Most values fall into the first buckets, so this is faster than a binary search.
    while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket++;
    counts[bucket] = (counts[bucket] as number) + weight;
    this.sum += value * weight;
  }
}

export class LatencyHistogram extends Histogram {
  constructor() {
    super(LATENCY_BOUNDS_SECONDS);
  }
}
