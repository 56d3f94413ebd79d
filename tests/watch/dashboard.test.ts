/**
 * The dashboard and the rules use only metrics that exist: every name is in a scrape of the service, and every query
 * of the dashboard returns data from a Prometheus that scrapes both engines.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestPublisher } from '../support/messages/publisher.ts';
import { Scrape } from '../support/monitoring/metrics.ts';
import { CONFIG_FOLDER, PrometheusServer, RULE_FILES } from '../support/monitoring/prometheus-server.ts';
import { RedisServer } from '../support/redis/redis-server.ts';
import { standaloneEnv } from '../support/redis/service-env.ts';
import { TestServer } from '../support/service/server.ts';
import { StreamClient } from '../support/streams/stream-client.ts';
import { waitFor } from '../support/wait.ts';

interface Target {
  readonly expr: string;
}
interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly Target[];
}
interface Dashboard {
  readonly uid: string;
  readonly panels: readonly Panel[];
  readonly annotations: { readonly list: readonly { readonly name: string; readonly expr: string }[] };
  readonly templating: { readonly list: readonly { readonly name: string; readonly query: unknown }[] };
}

const GRID_WIDTH = 24;
const METRIC = /\b(?:message_push[_:]|process_|nodejs_)[a-z0-9_:]+/g;
/** Metrics that only one engine has, according to their help text. */
const REDIS_ONLY = /^message_push_(redis_|bus_|losses_|channels_watched)/;
const EMBEDDED_ONLY = /^message_push_history_(messages|bytes|channels)$/;
const WORKERS_ONLY = /^message_push_worker_/;
/** Metrics of TLS, which neither service here uses; `tests/tls` covers them. */
const TLS_ONLY = /^message_push_certificate_/;
/** Queries that return data only when something has gone wrong. */
const NOTHING_WRONG = new Set(['Rejected publishes', 'Turned away', 'Gaps']);

const dashboard = JSON.parse(
  readFileSync(join(CONFIG_FOLDER, 'grafana/dashboards/message-push-service.json'), 'utf8'),
) as Dashboard;
const charts = dashboard.panels.filter(({ type }) => type !== 'row');
const rules = RULE_FILES.map((file) => readFileSync(join(CONFIG_FOLDER, 'prometheus', file), 'utf8'));
const recorded = new Set(rules.join('\n').match(/(?<=record: )\S+/g));

/** The query with its variables filled in as Grafana does. */
function filledIn(query: string): string {
  return query.replaceAll('$__rate_interval', '5s').replaceAll('$instance', '.*');
}

function metricsOf(text: string): string[] {
  return [...new Set(text.match(METRIC))].filter((name) => !recorded.has(name));
}

const queries = charts.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr }) => ({ title, query: filledIn(expr) })),
);

let redis: RedisServer;
let embedded: TestServer;
let fleet: TestServer;
let prometheus: PrometheusServer;
const clients: StreamClient[] = [];
const scrapes: { embedded?: Scrape; fleet?: Scrape } = {};

beforeAll(async () => {
  redis = await RedisServer.start();
  embedded = await TestServer.start();
  fleet = await TestServer.start({ env: { ...standaloneEnv(redis), WORKER_THREADS: '2' } });
  prometheus = await PrometheusServer.start(
    [embedded, fleet].map(({ metricsPort }) => `127.0.0.1:${metricsPort}`),
  );
  for (const { url, port } of [embedded, fleet]) {
    const stream = new StreamClient({ port, path: '/sse/stream?channels=c' });
    clients.push(stream);
    await stream.opened();
    const publisher = new TestPublisher(url);
    // Publishes over several scrapes: a rate needs two.
    for (let n = 0; n < 20; n++) {
      await publisher.batchUntilAcknowledged([
        { type: 'info', service: 'test', target: { channel: 'c' }, data: { n } },
      ]);
      await waitFor('the message', () => stream.events.filter((e) => e.type === 'info').length > n);
      // A stream that disconnected and came back.
      if (n === 10) stream.cutAfter(0);
      await waitFor('the stream', () => stream.isOpen);
    }
    publisher.close();
  }
  // Scraping makes garbage, and its collection shows as a metric from the first one on.
  const hasCollected = (scrape: Scrape | undefined): boolean =>
    scrape?.sum('nodejs_gc_duration_seconds_sum') !== undefined;
  await waitFor('collections of garbage', async () => {
    scrapes.embedded = await Scrape.of(embedded.metricsPort);
    scrapes.fleet = await Scrape.of(fleet.metricsPort);
    return hasCollected(scrapes.embedded) && hasCollected(scrapes.fleet);
  });
});
afterAll(async () => {
  for (const client of clients) client.close();
  await prometheus?.dispose();
  await embedded?.dispose();
  await fleet?.dispose();
  await redis?.dispose();
});

describe('the dashboard', () => {
  it('has panels with a title and a word of explanation, that fill the grid and do not overlap', () => {
    expect(charts.filter(({ title, description }) => !title || !description)).toEqual([]);
    const ids = dashboard.panels.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const cells = new Map<string, string>();
    for (const { title, gridPos } of dashboard.panels) {
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(cells.get(`${x} ${y}`), `${title} lies over another panel`).toBeUndefined();
          cells.set(`${x} ${y}`, title);
        }
      }
    }
    const height = Math.max(...dashboard.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
    expect(cells.size).toBe(height * GRID_WIDTH);
  });

  it('is found where the provisioning says, by the data source that it names', () => {
    const read = (file: string): string =>
      readFileSync(join(CONFIG_FOLDER, 'grafana/provisioning', file), 'utf8');
    expect(read('dashboards/message-push-service.yml')).toMatch(/^ {6}path: \$\{GRAFANA_DASHBOARDS\}$/m);
    const uid = /^ {4}uid: (\S+)$/m.exec(read('datasources/prometheus.yml'))?.[1];
    expect(JSON.stringify(dashboard.templating.list[0])).toContain(`"value":"${uid}"`);
  });

  it('uses its variable for instances in every query that is not of the whole fleet', () => {
    const without = queries
      .filter(({ query }) => !query.includes('instance=~".*"'))
      .map(({ title }) => title);
    expect(without).toEqual(['Alerts']);
  });
});

describe('every metric', () => {
  const texts = [...queries.map(({ query }) => query), ...dashboard.annotations.list.map(({ expr }) => expr)];
  it.each(metricsOf([...texts, ...rules].join('\n')))('%s is in a scrape of the service', (name) => {
    const isThere = (scrape: Scrape | undefined): boolean => scrape?.sum(name) !== undefined;
    const found = { embedded: isThere(scrapes.embedded), redis: isThere(scrapes.fleet) };
    expect(found).toEqual({
      embedded: !REDIS_ONLY.test(name) && !WORKERS_ONLY.test(name) && !TLS_ONLY.test(name),
      redis: !EMBEDDED_ONLY.test(name) && !TLS_ONLY.test(name),
    });
  });
});

describe('every query of the dashboard', () => {
  it.each(queries)('$title: $query', async ({ title, query }) => {
    if (NOTHING_WRONG.has(title)) {
      // These bars appear only when the value is above zero: without the comparison there are series.
      expect(query).toMatch(/ > 0$|\(message_push:/);
      query = query.replace(/ > 0$/, '');
    }
    await waitFor(`data for ${query}`, async () => (await prometheus.query(query)).length > 0, {
      pollMs: 250,
    });
  });
});
