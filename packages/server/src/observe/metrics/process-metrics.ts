/** The metrics of Node.js and the operating system for a process, as prom-client collects them. */
import { collectDefaultMetrics, type Registry } from 'prom-client';

/** Prefix of the service's own metrics. */
export const METRICS_PREFIX = 'message_push_';

/**
 * Metrics of prom-client that are left out: all of them walk every open socket at each scrape, and half have names
 * against the conventions (a gauge that ends in `_total`).
 */
const LEFT_OUT = ['handles', 'requests', 'resources'].flatMap((kind) => [
  `nodejs_active_${kind}`,
  `nodejs_active_${kind}_total`,
]);

export function collectProcessMetrics(
  registry: Registry,
  labels: Readonly<Record<string, string>> = {},
): void {
  collectDefaultMetrics({ register: registry, labels });
  for (const name of LEFT_OUT) registry.removeSingleMetric(name);
}
