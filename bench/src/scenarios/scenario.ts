/** Types of scenarios: a scenario measures one or several servers once, and yields figures. */
import type { Contender, Peer, PublishKind } from '../peers/peer.ts';
import type { Pinning } from '../pinning.ts';

export interface Metric {
  readonly key: string;
  readonly label: string;
  readonly unit: string;
  readonly better: 'lower' | 'higher';
  /** Decimal places. */
  readonly digits: number;
  readonly isCharted?: boolean;
  /** The project's goals for the ratio ours ÷ contender, by the name of the contender. */
  readonly goals?: Readonly<Record<string, number>>;
  /** The project's goal for ours alone. */
  readonly limit?: number;
  /** The metric of peers that do not have this one, with which ours is compared. */
  readonly comparedWith?: string;
}

/** Shows whether everything that was published arrived, once and in order. */
export interface Integrity {
  readonly expected: number;
  readonly received: number;
  readonly missing: number;
  readonly repeated: number;
  readonly gaps: number;
  readonly brokenStreams: number;
  readonly failedPublishes: number;
}

export interface Measurement {
  readonly metrics: Readonly<Record<string, number>>;
  readonly integrity: Integrity;
  readonly notes: readonly string[];
}

export interface Settings {
  readonly streams: number;
  readonly messageBytes: number;
  /** The measured window. */
  readonly durationMs: number;
  readonly warmupMs: number;
  readonly settleMs: number;
  readonly perSecond: number;
  readonly publishers: number;
  readonly batchSize: number;
  readonly streamWorkers: number;
  readonly publishWorkers: number;
  readonly resumes: boolean;
  readonly slowStreams: number;
  readonly slowReadBytes: number;
  /** Largest number of nodes of a simulated fleet. */
  readonly nodes: number;
  /** Largest number of channels. */
  readonly channels: number;
}

export interface Context {
  readonly peer: Peer;
  readonly settings: Settings;
  readonly pinning: Pinning;
  readonly nodeOptions: readonly string[];
  readonly redisOptions: readonly string[];
  readonly fileLimit: number;
  /** Directory in which servers may keep data. */
  readonly directory: string;
  /** Returns the padding that gives a message of this kind the wanted size. */
  readonly pad: (kind: PublishKind) => number;
}

export type RedisContext = Omit<Context, 'peer'>;

interface Described {
  readonly name: string;
  readonly title: string;
  /** Describes in one line what is done with these settings. */
  readonly describe: (settings: Settings) => string;
  readonly defaults: Partial<Settings>;
  readonly metrics: readonly Metric[];
}

/** Measures servers over HTTP, one at a time. */
export interface ServerScenario extends Described {
  readonly run: (context: Context) => Promise<Measurement>;
}

/** Measures its own contenders, all of them in each round, because some of them share a Redis. */
export interface RedisScenario extends Described {
  readonly contenders: readonly Contender[];
  /** Resolves with measurements by the name of the contender; a missing one was not measured with these settings. */
  readonly runRound: (context: RedisContext) => Promise<Readonly<Record<string, Measurement>>>;
}

export type Scenario = ServerScenario | RedisScenario;

export function mergeIntegrity(parts: readonly Integrity[]): Integrity {
  const sum = (field: keyof Integrity) => parts.reduce((total, part) => total + part[field], 0);
  return {
    expected: sum('expected'),
    received: sum('received'),
    missing: sum('missing'),
    repeated: sum('repeated'),
    gaps: sum('gaps'),
    brokenStreams: sum('brokenStreams'),
    failedPublishes: sum('failedPublishes'),
  };
}
