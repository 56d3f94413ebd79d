/** Formats the tables: one per scenario, and one with all ratios at the end. */
import {
  comparedMedianOf,
  integrityOf,
  isWhole,
  medianOf,
  meetsGoal,
  type Result,
  ratioOf,
} from './results.ts';
import type { Integrity, Metric } from './scenarios/scenario.ts';

export function formatNumber(value: number | undefined, digits: number): string {
  if (value === undefined) return '–';
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Aligns the first column left and the others right, each as wide as its widest cell. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const columns = Math.max(...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, i) =>
    Math.max(...rows.map((row) => row[i]?.length ?? 0)),
  );
  const lines = rows.map((row) =>
    widths
      .map((width, i) => (i === 0 ? (row[i] ?? '').padEnd(width) : (row[i] ?? '').padStart(width)))
      .join('  ')
      .trimEnd(),
  );
  lines.splice(1, 0, widths.map((width) => '─'.repeat(width)).join('  '));
  return lines.join('\n');
}

export function scenarioTable(result: Result): string {
  const peers = measuredPeers(result);
  const others = peers.includes('ours') ? peers.filter((peer) => peer !== 'ours') : [];
  const rows = [
    ['median of rounds', ...peers.map((peer) => labelOf(result, peer)), ...others.map((peer) => `÷ ${peer}`)],
    ...result.metrics.map((metric) => [
      metric.unit === '' ? metric.label : `${metric.label} [${metric.unit}]`,
      ...peers.map((peer) => formatNumber(medianOf(result, peer, metric.key), metric.digits)),
      ...others.map((peer) => formatNumber(ratioOf(result, peer, metric), 2)),
    ]),
    [
      'delivered, of all rounds',
      ...peers.map((peer) => describeIntegrity(integrityOf(result, peer))),
      ...others.map(() => ''),
    ],
  ];
  const notes = result.rounds.flatMap((round) =>
    round.notes.map((note) => `  ${labelOf(result, round.peer)}, round ${round.round}: ${note}`),
  );
  const failures = result.failures.map(
    ({ peer, round, error }) => `  ${labelOf(result, peer)}, round ${round} FAILED: ${error}`,
  );
  return [formatTable(rows), ...notes, ...failures].join('\n');
}

/** Lists every metric that has a goal, over all scenarios: ours ÷ peer, or ours alone. */
export function ratioTable(results: readonly Result[]): string | undefined {
  const rows = results.flatMap((result) =>
    result.metrics.flatMap((metric) => [...ratioRows(result, metric), ...limitRows(result, metric)]),
  );
  if (rows.length === 0) return undefined;
  return formatTable([['ours ÷ peer', 'peer', 'ours', 'theirs', 'ratio', 'goal', ''], ...rows]);
}

function ratioRows(result: Result, metric: Metric): string[][] {
  return Object.entries(metric.goals ?? {}).flatMap(([peer, goal]) => {
    const ratio = ratioOf(result, peer, metric);
    if (ratio === undefined) return [];
    return [
      [
        `${result.title}: ${metric.label}`,
        peer,
        formatNumber(medianOf(result, 'ours', metric.key), metric.digits),
        formatNumber(comparedMedianOf(result, peer, metric), metric.digits),
        formatNumber(ratio, 2),
        ...goalCells(metric, ratio, goal),
      ],
    ];
  });
}

function limitRows(result: Result, metric: Metric): string[][] {
  const mine = medianOf(result, 'ours', metric.key);
  if (metric.limit === undefined || mine === undefined) return [];
  const value = formatNumber(mine, metric.digits);
  return [[`${result.title}: ${metric.label}`, '', value, '', '', ...goalCells(metric, mine, metric.limit)]];
}

function goalCells(metric: Metric, value: number, goal: number): string[] {
  return [
    `${metric.better === 'lower' ? '≤' : '≥'} ${goal}`,
    meetsGoal(metric, value, goal) ? 'met' : 'missed',
  ];
}

export function measuredPeers(result: Result): string[] {
  return Object.keys(result.peers).filter((peer) => result.rounds.some((round) => round.peer === peer));
}

export function labelOf(result: Result, peer: string): string {
  return result.peers[peer]?.label ?? peer;
}

function describeIntegrity(rounds: readonly Integrity[]): string {
  const bad = rounds.filter((round) => !isWhole(round));
  if (bad.length === 0) return 'all, once, in order';
  const sum = (field: keyof Integrity) => bad.reduce((total, round) => total + round[field], 0);
  return [
    ['lost', sum('missing')],
    ['repeated', sum('repeated')],
    ['gaps', sum('gaps')],
    ['streams broken', sum('brokenStreams')],
    ['publishes failed', sum('failedPublishes')],
  ]
    .filter(([, count]) => count !== 0)
    .map(([label, count]) => `${count} ${label}`)
    .join(', ');
}
