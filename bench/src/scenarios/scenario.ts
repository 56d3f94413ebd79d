/** What a scenario is: a way to measure one server or several once, and the figures that come out of it. */
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
  /** The bound that the project sets itself for ours ÷ another contender. */
  readonly goals?: Readonly<Record<string, number>>;
  /** The bound that the project sets itself for ours alone. */
  readonly limit?: number;
  /** The peers' metric that ours is compared with, where it is another one. */
  readonly comparedWith?: string;
}

/** Whether all that was published arrived, once and in order. */
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
  /** Most nodes of a simulated fleet. */
  readonly nodes: number;
  /** Most channels. */
  readonly channels: number;
}

export interface Context {
  readonly peer: Peer;
  readonly settings: Settings;
  readonly pinning: Pinning;
  readonly nodeOptions: readonly string[];
  readonly redisOptions: readonly string[];
  readonly fileLimit: number;
  /** Where servers may keep data. */
  readonly directory: string;
  /** Padding that gives a message of this kind the wanted size. */
  readonly pad: (kind: PublishKind) => number;
}

export type RedisContext = Omit<Context, 'peer'>;

interface Described {
  readonly name: string;
  readonly title: string;
  /** One line of what is done, with these settings. */
  readonly describe: (settings: Settings) => string;
  readonly defaults: Partial<Settings>;
  readonly metrics: readonly Metric[];
}

/** Measures servers that are reached by HTTP, one at a time. */
export interface ServerScenario extends Described {
  readonly run: (context: Context) => Promise<Measurement>;
}

/** Measures contenders of its own, all of them in each round: some of them share a Redis. */
export interface RedisScenario extends Described {
  readonly contenders: readonly Contender[];
  /** By the contender's name; one that is left out was not measured with these settings. */
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
