/** The benchmark: scenarios × rounds × peers in turn, then tables, result files and charts. */
import { fileURLToPath } from 'node:url';
import { capacityTables } from './capacity.ts';
import { IMAGES, writeChart } from './chart.ts';
import { endTracked } from './children.ts';
import { describeMachine } from './machine.ts';
import { type Options, parseOptions, UsageError } from './options.ts';
import { Padding } from './padding.ts';
import { PEERS } from './peers/catalog.ts';
import type { Contender, PeerName } from './peers/peer.ts';
import { choosePinning, type Pinning } from './pinning.ts';
import { readFileLimit } from './proc.ts';
import { ratioTable, scenarioTable } from './report.ts';
import { type Result, type Round, readNewest, writeResult } from './results.ts';
import type {
  Context,
  Measurement,
  RedisContext,
  RedisScenario,
  Scenario,
  ServerScenario,
} from './scenarios/scenario.ts';

const RESULTS = fileURLToPath(new URL('../results/', import.meta.url));
/** Files that a server opens in addition to its streams. */
const SPARE_FILES = 500;

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (typeof options === 'string') {
    say(options);
    return;
  }
  if (options.showsCapacity) {
    say(capacityTables(readNewest(RESULTS)));
    return;
  }
  const fileLimit = readFileLimit();
  const most = Math.max(...options.scenarios.map((scenario) => options.settingsOf(scenario).streams));
  if (fileLimit < most + SPARE_FILES) {
    throw new UsageError(
      `${most} streams need ${most + SPARE_FILES} open files and the limit is ${fileLimit}: raise it (ulimit -n) or lower --streams`,
    );
  }
  const peers = options.scenarios.some(isOfServers)
    ? options.peers.filter((name) => isThere(PEERS[name]))
    : [];
  if (peers.length === 0 && options.scenarios.every(isOfServers)) {
    throw new UsageError('there is nothing to measure');
  }
  const pinning = choosePinning(options.serverCores, options.loadCores);
  say(
    pinning.reason === undefined
      ? `server on core ${pinning.server}, load on core ${pinning.load}`
      : `nothing is pinned (${pinning.reason}): figures are not comparable`,
  );

  const { nodeOptions, redisOptions, dataDirectory: directory } = options;
  const base: Base = { pinning, nodeOptions, redisOptions, fileLimit, directory };
  // Nodes on Redis deliver the same messages as a node on the embedded engine.
  const padded = new Set<PeerName>(options.scenarios.every(isOfServers) ? peers : [...peers, 'ours']);
  const padding = await Padding.measure([...padded], base);
  const results: Result[] = [];
  for (const scenario of options.scenarios) {
    const result = await runScenario(scenario, peers, options, base, padding);
    results.push(result);
    say(`\n${scenarioTable(result)}`);
    if (options.writesResults) say(writeResult(RESULTS, result));
    if (options.writesCharts && result.rounds.length > 0) say(writeChart(IMAGES, result));
  }
  const ratios = ratioTable(results);
  if (ratios !== undefined) say(`\n${ratios}`);
  if (options.isQuick)
    say('\nThis was a quick run: it only shows that everything works; its figures mean nothing.');
  if (results.some((result) => result.failures.length > 0)) process.exitCode = 1;
}

interface Base {
  readonly pinning: Pinning;
  readonly nodeOptions: readonly string[];
  readonly redisOptions: readonly string[];
  readonly fileLimit: number;
  readonly directory: string;
}

async function runScenario(
  scenario: Scenario,
  peers: readonly PeerName[],
  options: Options,
  base: Base,
  padding: Padding,
): Promise<Result> {
  const wanted = options.settingsOf(scenario);
  const settings = { ...wanted, messageBytes: padding.possibleBytes(wanted.messageBytes) };
  const date = new Date().toISOString();
  say(`\n${scenario.title}: ${scenario.describe(settings)}; messages of ${settings.messageBytes} bytes`);
  const measured = isOfServers(scenario)
    ? serverMeasures(scenario, peers, { ...base, settings }, padding)
    : redisMeasures(scenario, {
        ...base,
        settings,
        pad: (kind) => padding.pad('ours', kind, settings.messageBytes),
      });
  const rounds: Round[] = [];
  const failures: Result['failures'][number][] = [];
  for (let round = 1; round <= options.rounds; round++) {
    for (const { names, run } of measured.measures) {
      try {
        for (const [peer, measurement] of Object.entries(await run())) {
          rounds.push({ round, peer, ...measurement });
          const label = measured.contenders.find(({ name }) => name === peer)?.label ?? peer;
          say(`  round ${round}, ${label}: ${firstFigure(scenario, measurement.metrics)}`);
        }
      } catch (error) {
        // A server that fails is a result too; the others are still measured.
        const text = error instanceof Error ? error.message : String(error);
        for (const peer of names) failures.push({ round, peer, error: text });
        say(`  round ${round}, ${names.join(' and ')} failed: ${text}`);
      }
    }
  }
  return {
    scenario: scenario.name,
    title: scenario.title,
    description: `${scenario.describe(settings)}; messages of ${settings.messageBytes} bytes`,
    date,
    command: ['npm run bench --', ...process.argv.slice(2)].join(' '),
    machine: describeMachine(options.dataDirectory),
    pinning: { server: base.pinning.server ?? null, load: base.pinning.load ?? null },
    peers: Object.fromEntries(
      measured.contenders.map(({ name, label, version }) => [name, { label, version: version() }]),
    ),
    settings,
    metrics: scenario.metrics,
    rounds,
    failures,
  };
}

/** The measurements of a round, taken one after the other. */
interface Measures {
  readonly contenders: readonly Contender[];
  readonly measures: readonly {
    readonly names: readonly string[];
    readonly run: () => Promise<Readonly<Record<string, Measurement>>>;
  }[];
}

function serverMeasures(
  scenario: ServerScenario,
  peers: readonly PeerName[],
  context: Omit<Context, 'peer' | 'pad'>,
  padding: Padding,
): Measures {
  return {
    contenders: peers.map((name) => PEERS[name]),
    measures: peers.map((name) => ({
      names: [name],
      run: async () => ({
        [name]: await scenario.run({
          ...context,
          peer: PEERS[name],
          pad: (kind) => padding.pad(name, kind, context.settings.messageBytes),
        }),
      }),
    })),
  };
}

function redisMeasures(scenario: RedisScenario, context: RedisContext): Measures {
  const { contenders } = scenario;
  if (!contenders.every(isThere)) return { contenders, measures: [] };
  const names = contenders.map(({ name }) => name);
  return { contenders, measures: [{ names, run: () => scenario.runRound(context) }] };
}

function isOfServers(scenario: Scenario): scenario is ServerScenario {
  return 'run' in scenario;
}

function isThere({ label, missing }: Contender): boolean {
  const reason = missing();
  if (reason !== undefined) say(`${label} is skipped: ${reason}`);
  return reason === undefined;
}

function firstFigure(scenario: Scenario, metrics: Readonly<Record<string, number>>): string {
  const metric = scenario.metrics[0];
  if (metric === undefined) return '';
  return `${metric.label} ${metrics[metric.key]?.toFixed(metric.digits)} ${metric.unit}`;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => process.exit(130));
}
process.on('exit', endTracked);

main().catch((error: unknown) => {
  if (error instanceof UsageError) {
    process.stderr.write(`${error.message}\n`);
    process.exit(2);
  }
  console.error(error);
  process.exit(1);
});
