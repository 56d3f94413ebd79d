/** Delay of the event loop in running what is due: the first sign of an overloaded process. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Sample } from './scraped-metric.ts';

/** Sampling interval. Node's figures include it. */
const RESOLUTION_MS = 10;
const QUANTILES = [0.5, 0.99, 1] as const;
const SECOND_NS = 1e9;

export class EventLoopDelay {
  readonly #monitor = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  #sumSeconds = 0;
  #count = 0;

  constructor() {
    this.#monitor.enable();
  }

  /** Returns quantiles since the last scrape, and sum and count since the start. */
  samples(name: string): Sample[] {
    const monitor = this.#monitor;
    const count = monitor.count;
    const samples: Sample[] = QUANTILES.map((quantile) => ({
      labels: { quantile },
      // Without samples, the quantiles are unknown.
      value:
        count === 0
          ? Number.NaN
          : delaySeconds(quantile === 1 ? monitor.max : monitor.percentile(quantile * 100)),
    }));
    if (count > 0) {
      this.#sumSeconds += delaySeconds(monitor.mean) * count;
      this.#count += count;
      monitor.reset();
    }
    samples.push({ metricName: `${name}_sum`, value: this.#sumSeconds });
    samples.push({ metricName: `${name}_count`, value: this.#count });
    return samples;
  }

  close(): void {
    this.#monitor.disable();
  }
}

function delaySeconds(nanoseconds: number): number {
  return Math.max(0, nanoseconds / SECOND_NS - RESOLUTION_MS / 1000);
}
