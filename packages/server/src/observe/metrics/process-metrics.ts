/** What Node.js and the system say of a process, as prom-client collects it. */
import { collectDefaultMetrics, type Registry } from 'prom-client';

/** Of the names of our own metrics. */
export const METRICS_PREFIX = 'message_push_';

/**
 * prom-client's own that are left out: two names against the conventions (a gauge that ends in `_total`), and
 * all of them walk every open socket at each scrape.
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
