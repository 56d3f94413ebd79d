/** What a scenario is: a way to measure one server once, and the figures that come out of it. */
import type { Peer, PeerName, PublishKind } from '../peers/peer.ts';
import type { Pinning } from '../pinning.ts';

export interface Metric {
  readonly key: string;
  readonly label: string;
  readonly unit: string;
  readonly better: 'lower' | 'higher';
  /** Decimal places. */
  readonly digits: number;
  readonly isCharted?: boolean;
  /** The bound that the project sets itself for ours ÷ peer. */
  readonly goals?: Partial<Record<PeerName, number>>;
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
}

export interface Context {
  readonly peer: Peer;
  readonly settings: Settings;
  readonly pinning: Pinning;
  readonly nodeOptions: readonly string[];
  readonly fileLimit: number;
  /** Where servers may keep data. */
  readonly directory: string;
  /** Padding that gives a message of this kind the wanted size. */
  readonly pad: (kind: PublishKind) => number;
}

export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** One line of what is done, with these settings. */
  readonly describe: (settings: Settings) => string;
  readonly defaults: Partial<Settings>;
  readonly metrics: readonly Metric[];
  readonly run: (context: Context) => Promise<Measurement>;
}

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
