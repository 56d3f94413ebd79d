/**
 * A metric whose values are read when it is scraped, in the form that prom-client's registry prints. The library's own
 * counters would hash their labels on each increment; here the numbers stay where they are counted.
 */
import type { Metric, Registry } from 'prom-client';
import type { Histogram } from './histogram.ts';

type Labels = Readonly<Record<string, string | number>>;

export interface Sample {
  readonly value: number;
  readonly labels?: Labels;
  /** Set when it differs from the metric's name: `…_bucket`, `…_sum`, `…_count`. */
  readonly metricName?: string;
}

export interface ScrapedMetric {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram' | 'summary';
  readonly read: () => Sample[];
}

export function registerScraped(registry: Registry, { name, help, type, read }: ScrapedMetric): void {
  // The registry calls get() at a scrape and reset() in resetMetrics(). Its type admits only its own classes.
  const metric = {
    name,
    help,
    type,
    aggregator: 'sum',
    get: async () => ({ name, help, type, aggregator: 'sum', values: read() }),
    reset(): never {
      throw new Error(`${name} is counted elsewhere and cannot be reset`);
    },
  };
  registry.registerMetric(metric as unknown as Metric);
}

/** Makes one sample per key, with the key as the value of `label`. */
export function samplesOf(label: string, counts: Readonly<Record<string, number>>): Sample[] {
  return Object.entries(counts).map(([key, value]) => ({ value, labels: { [label]: key } }));
}

/** Makes the cumulative buckets, the sum and the count that Prometheus expects. */
export function histogramSamples(name: string, histogram: Histogram, labels: Labels = {}): Sample[] {
  const samples: Sample[] = [];
  let count = 0;
  histogram.counts.forEach((inBucket, i) => {
    count += inBucket;
    const le = histogram.bounds[i] ?? '+Inf';
    samples.push({ metricName: `${name}_bucket`, value: count, labels: { ...labels, le } });
  });
  samples.push({ metricName: `${name}_sum`, value: histogram.sum, labels });
  samples.push({ metricName: `${name}_count`, value: count, labels });
  return samples;
}
