/** The benchmark: scenarios × rounds × peers in turn, then tables, result files and charts. */
import { fileURLToPath } from 'node:url';
import { IMAGES, writeChart } from './chart.ts';
import { endTracked } from './children.ts';
import { describeMachine } from './machine.ts';
import { type Options, parseOptions, UsageError } from './options.ts';
import { Padding } from './padding.ts';
import { PEERS } from './peers/catalog.ts';
import type { PeerName } from './peers/peer.ts';
import { choosePinning, type Pinning } from './pinning.ts';
import { readFileLimit } from './proc.ts';
import { ratioTable, scenarioTable } from './report.ts';
import { type Result, type Round, writeResult } from './results.ts';
import type { Context, Scenario } from './scenarios/scenario.ts';

const RESULTS = fileURLToPath(new URL('../results/', import.meta.url));
/** Files that a server opens besides its streams. */
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
  const fileLimit = readFileLimit();
  const most = Math.max(...options.scenarios.map((scenario) => options.settingsOf(scenario).streams));
  if (fileLimit < most + SPARE_FILES) {
    throw new UsageError(
      `${most} streams need ${most + SPARE_FILES} open files and the limit is ${fileLimit}: raise it (ulimit -n) or lower --streams`,
    );
  }
  const peers = options.peers.filter((name) => {
    const missing = PEERS[name].missing();
    if (missing !== undefined) say(`${PEERS[name].label} is skipped: ${missing}`);
    return missing === undefined;
  });
  if (peers.length === 0) throw new UsageError('there is nothing to measure');
  const pinning = choosePinning(options.serverCores, options.loadCores);
  say(
    pinning.reason === undefined
      ? `server on core ${pinning.server}, load on core ${pinning.load}`
      : `nothing is pinned (${pinning.reason}): figures are not comparable`,
  );

  const base = { pinning, nodeOptions: options.nodeOptions, fileLimit, directory: options.dataDirectory };
  const padding = await Padding.measure(peers, base);
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
    say('\nThis was a quick run: it shows that everything works; its figures mean nothing.');
  if (results.some((result) => result.failures.length > 0)) process.exitCode = 1;
}

interface Base {
  readonly pinning: Pinning;
  readonly nodeOptions: readonly string[];
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
  const rounds: Round[] = [];
  const failures: Result['failures'][number][] = [];
  for (let round = 1; round <= options.rounds; round++) {
    for (const peer of peers) {
      const context: Context = {
        ...base,
        peer: PEERS[peer],
        settings,
        pad: (kind) => padding.pad(peer, kind, settings.messageBytes),
      };
      try {
        const measurement = await scenario.run(context);
        rounds.push({ round, peer, ...measurement });
        say(`  round ${round}, ${PEERS[peer].label}: ${firstFigure(scenario, measurement.metrics)}`);
      } catch (error) {
        // One server that fails is a result too; the others are still worth measuring.
        const text = error instanceof Error ? error.message : String(error);
        failures.push({ round, peer, error: text });
        say(`  round ${round}, ${PEERS[peer].label} failed: ${text}`);
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
      peers.map((name) => [name, { label: PEERS[name].label, version: PEERS[name].version() }]),
    ),
    settings,
    metrics: scenario.metrics,
    rounds,
    failures,
  };
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
