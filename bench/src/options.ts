/** The command line of the benchmark. */
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { MAX_LANES } from './load/stamp.ts';
import { PEER_NAMES, type PeerName, USUAL_PEERS } from './peers/peer.ts';
import { SCENARIOS } from './scenarios/catalog.ts';
import type { Scenario, Settings } from './scenarios/scenario.ts';

const HELP = `Usage: npm run bench -- [scenario…] [options]

Measures this service, nginx with nchan and a plain Node server in turn, each fresh and pinned to one core,
with the load on the others. Prints a table per scenario and one of all ratios, writes a dated JSON file per
scenario to bench/results and a chart to docs/images.

Scenarios (all when none is named)
${SCENARIOS.map((s) => `  ${s.name.padEnd(16)} ${s.title}`).join('\n')}

Options
  --peers LIST          of ${PEER_NAMES.join(', ')} (${USUAL_PEERS.join(', ')}); those that are not installed are
                        skipped; before is the build in the folder that the variable BENCH_BEFORE names
  --rounds N            rounds, of which the median is taken (3)
  --quick               200 streams, 3 s, one round, nothing written: to see that everything works;
                        its figures mean nothing
  --streams N           streams (1,000 or 10,000, by scenario)
  --duration S          measured window (10; slow-readers 60)
  --warmup S            before the window (3)
  --settle S            rest before memory or CPU is read (idle 10, reconnect-storm 2)
  --rate N              publications a second where they are paced (broadcast 50, slow-readers 20)
  --publishers N        publisher connections (broadcast 16, unicast 64)
  --batch N             messages in a batch (100)
  --size BYTES          of a message as delivered (256; slow-readers 1,024)
  --slow N              slow streams (100)
  --nodes N             most nodes of a simulated fleet (redis-fleet 100)
  --channels N          most channels (redis-memory 100,000; redis-fleet 1,000 per node)
  --no-resume           reconnect without Last-Event-ID
  --server-core LIST    cores of the server, as for taskset (0)
  --load-cores LIST     cores of the load (all others)
  --stream-workers N    processes that hold streams (1, or as many as the limit of open files asks for)
  --publish-workers N   processes that publish (1)
  --node-options FLAGS  flags for Node when it runs this service, e.g. --node-options=--max-semi-space-size=2
  --redis-options FLAGS flags for redis-server, e.g. --redis-options='--stream-node-max-bytes 1024'
  --data-dir PATH       where servers keep data while they run (${tmpdir()})
  --capacity            measure nothing, print what the newest results mean for fleets of four sizes
  --no-charts           do not write to docs/images
  --no-results          write no JSON file
  --help`;

export interface Options {
  readonly scenarios: readonly Scenario[];
  readonly peers: readonly PeerName[];
  /** The run is too short and too small for its figures to mean anything. */
  readonly isQuick: boolean;
  readonly rounds: number;
  readonly serverCores: string;
  readonly loadCores: string | undefined;
  readonly nodeOptions: readonly string[];
  readonly redisOptions: readonly string[];
  /** Print the sizes of fleets that follow from the newest results, and measure nothing. */
  readonly showsCapacity: boolean;
  readonly dataDirectory: string;
  readonly writesResults: boolean;
  readonly writesCharts: boolean;
  readonly settingsOf: (scenario: Scenario) => Settings;
}

const DEFAULTS: Settings = {
  streams: 1000,
  messageBytes: 256,
  durationMs: 10_000,
  warmupMs: 3000,
  settleMs: 5000,
  perSecond: 50,
  publishers: 16,
  batchSize: 100,
  streamWorkers: 1,
  publishWorkers: 1,
  resumes: true,
  slowStreams: 100,
  slowReadBytes: 1024,
  nodes: 100,
  channels: 1000,
};

/** Upper bound on every count, so that a typing error does not exhaust the machine. */
const MAX_COUNT = 100_000;
const MAX_SECONDS = 3600;

export class UsageError extends Error {}

/** Parses a command line; returns the help text when it asks for help. */
export function parseOptions(args: readonly string[]): Options | string {
  const { values, positionals } = parseCommandLine(args);
  if (values.help === true) return HELP;
  const quick = values.quick === true;
  const count = (value: string | undefined, name: string) => readNumber(value, name, 1, MAX_COUNT);
  const seconds = (value: string | undefined, name: string) => {
    const number = readNumber(value, name, 0.1, MAX_SECONDS);
    return number === undefined ? undefined : Math.round(number * 1000);
  };
  const chosen = withoutUndefined({
    streams: count(values.streams, 'streams') ?? (quick ? 200 : undefined),
    durationMs: seconds(values.duration, 'duration') ?? (quick ? 3000 : undefined),
    warmupMs: seconds(values.warmup, 'warmup') ?? (quick ? 500 : undefined),
    settleMs: seconds(values.settle, 'settle') ?? (quick ? 1000 : undefined),
    perSecond: count(values.rate, 'rate'),
    publishers: readNumber(values.publishers, 'publishers', 1, MAX_LANES),
    batchSize: count(values.batch, 'batch'),
    messageBytes: count(values.size, 'size'),
    slowStreams: count(values.slow, 'slow') ?? (quick ? 20 : undefined),
    streamWorkers: count(values['stream-workers'], 'stream-workers'),
    publishWorkers: count(values['publish-workers'], 'publish-workers'),
    nodes: count(values.nodes, 'nodes') ?? (quick ? 3 : undefined),
    channels: count(values.channels, 'channels') ?? (quick ? 100 : undefined),
    resumes: values['no-resume'] === true ? false : undefined,
  });
  return {
    scenarios: chooseScenarios(positionals),
    peers: choosePeers(values.peers),
    isQuick: quick,
    rounds: count(values.rounds, 'rounds') ?? (quick ? 1 : 3),
    serverCores: values['server-core'] ?? '0',
    loadCores: values['load-cores'],
    nodeOptions: words(values['node-options']),
    redisOptions: words(values['redis-options']),
    showsCapacity: values.capacity === true,
    dataDirectory: values['data-dir'] ?? tmpdir(),
    writesResults: !quick && values['no-results'] !== true,
    writesCharts: !quick && values['no-charts'] !== true,
    settingsOf: (scenario) => ({ ...DEFAULTS, ...scenario.defaults, ...chosen }),
  };
}

function parseCommandLine(args: readonly string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        peers: text,
        rounds: text,
        quick: flag,
        streams: text,
        duration: text,
        warmup: text,
        settle: text,
        rate: text,
        publishers: text,
        batch: text,
        size: text,
        slow: text,
        nodes: text,
        channels: text,
        'no-resume': flag,
        'server-core': text,
        'load-cores': text,
        'stream-workers': text,
        'publish-workers': text,
        'node-options': text,
        'redis-options': text,
        capacity: flag,
        'data-dir': text,
        'no-charts': flag,
        'no-results': flag,
        help: flag,
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function readNumber(value: string | undefined, name: string, min: number, max: number): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (!(number >= min && number <= max)) {
    throw new UsageError(`--${name} must be a number from ${min} to ${max}, not "${value}"`);
  }
  return number;
}

function chooseScenarios(names: readonly string[]): readonly Scenario[] {
  if (names.length === 0) return SCENARIOS;
  return names.map((name) => {
    const scenario = SCENARIOS.find((one) => one.name === name);
    if (scenario !== undefined) return scenario;
    throw new UsageError(`no scenario "${name}"; there are ${SCENARIOS.map((s) => s.name).join(', ')}`);
  });
}

function choosePeers(list: string | undefined): readonly PeerName[] {
  if (list === undefined) return USUAL_PEERS;
  return list.split(',').map((name) => {
    const peer = PEER_NAMES.find((one) => one === name.trim());
    if (peer !== undefined) return peer;
    throw new UsageError(`no peer "${name}"; there are ${PEER_NAMES.join(', ')}`);
  });
}

function words(text = ''): string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

function withoutUndefined<T extends object>(values: T): Defined<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Defined<T>;
}
