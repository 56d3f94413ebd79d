/** The record of one run of a scenario, from which tables and charts are made. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Machine } from './machine.ts';
import type { Integrity, Measurement, Metric, Settings } from './scenarios/scenario.ts';

export interface Round extends Measurement {
  readonly round: number;
  /** Name of the server or contender. */
  readonly peer: string;
}

export interface Result {
  readonly scenario: string;
  readonly title: string;
  readonly description: string;
  /** ISO 8601. */
  readonly date: string;
  readonly command: string;
  readonly machine: Machine;
  readonly pinning: { readonly server: string | null; readonly load: string | null };
  readonly peers: Readonly<Record<string, { readonly label: string; readonly version: string }>>;
  readonly settings: Settings;
  readonly metrics: readonly Metric[];
  readonly rounds: readonly Round[];
  /** Measurements that failed. */
  readonly failures: readonly { readonly round: number; readonly peer: string; readonly error: string }[];
}

export function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle];
  const lower = sorted[sorted.length % 2 === 1 ? middle : middle - 1];
  return upper === undefined || lower === undefined ? undefined : (lower + upper) / 2;
}

/** Returns a metric's median over the rounds of a peer; `undefined` when the peer does not have the metric. */
export function medianOf(result: Result, peer: string, key: string): number | undefined {
  const values = result.rounds.filter((round) => round.peer === peer).map((round) => round.metrics[key]);
  return median(values.filter((value) => value !== undefined));
}

/** Returns a peer's side of a comparison: its median of the metric, or of `comparedWith` when it does not have the metric. */
export function comparedMedianOf(result: Result, peer: string, metric: Metric): number | undefined {
  const same = medianOf(result, peer, metric.key);
  return same === undefined && metric.comparedWith !== undefined
    ? medianOf(result, peer, metric.comparedWith)
    : same;
}

/** Returns the ratio of the medians, ours ÷ peer. */
export function ratioOf(result: Result, peer: string, metric: Metric): number | undefined {
  const mine = medianOf(result, 'ours', metric.key);
  const theirs = comparedMedianOf(result, peer, metric);
  return mine === undefined || theirs === undefined || theirs === 0 ? undefined : mine / theirs;
}

/** Tells whether a ratio or a value meets its goal. */
export function meetsGoal(metric: Metric, value: number, goal: number): boolean {
  return metric.better === 'lower' ? value <= goal : value >= goal;
}

export function integrityOf(result: Result, peer: string): Integrity[] {
  return result.rounds.filter((round) => round.peer === peer).map((round) => round.integrity);
}

export function isWhole(integrity: Integrity): boolean {
  const { expected, received, missing, repeated, brokenStreams, failedPublishes } = integrity;
  return received === expected && missing + repeated + brokenStreams + failedPublishes === 0;
}

/** Reads the newest result of each scenario, by the name of the scenario. */
export function readNewest(directory: string): ReadonlyMap<string, Result> {
  const newest = new Map<string, Result>();
  const names = readdirSync(directory).filter((name) => name.endsWith('.json'));
  // File names begin with the date, so the last one wins.
  for (const name of names.sort()) {
    const result = JSON.parse(readFileSync(join(directory, name), 'utf8')) as Result;
    newest.set(result.scenario, result);
  }
  return newest;
}

export function writeResult(directory: string, result: Result): string {
  mkdirSync(directory, { recursive: true });
  const stamp = result.date.slice(0, 16).replace(':', '');
  const path = join(directory, `${stamp}-${result.scenario}.json`);
  writeFileSync(path, `${JSON.stringify(result, null, 2)}\n`);
  return path;
}
