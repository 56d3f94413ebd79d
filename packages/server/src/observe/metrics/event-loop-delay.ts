/** How late the event loop comes to what is due: the first sign of a process that has too much to do. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Sample } from './scraped-metric.ts';

/** Between two looks; Node's figures contain it. */
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

  /** Quantiles since the last scrape, sum and count since the start. */
  samples(name: string): Sample[] {
    const monitor = this.#monitor;
    const count = monitor.count;
    const samples: Sample[] = QUANTILES.map((quantile) => ({
      labels: { quantile },
      // Of no looks no quantile is known.
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
