import { describe, expect, it } from 'vitest';
import { drawChart } from './chart.ts';
import { ratioTable, scenarioTable } from './report.ts';
import { isWhole, median, medianOf, type Result, ratioOf } from './results.ts';
import type { Integrity, Metric } from './scenarios/scenario.ts';

const WHOLE: Integrity = {
  expected: 5,
  received: 5,
  missing: 0,
  repeated: 0,
  gaps: 0,
  brokenStreams: 0,
  failedPublishes: 0,
};

const METRIC: Metric = {
  key: 'cpu',
  label: 'CPU <per> delivery',
  unit: 'µs',
  better: 'lower',
  digits: 1,
  isCharted: true,
  goals: { nchan: 0.85, plain: 0.7 },
};

const RESULT: Result = {
  scenario: 'broadcast',
  title: 'Broadcast',
  description: 'many streams',
  date: '2026-01-02T03:04:05.000Z',
  command: 'npm run bench',
  machine: { cpu: 'CPU', cores: 2, memoryGb: 8, kernel: '6', node: '24', fileSystem: 'ext4', commit: 'abc' },
  pinning: { server: '0', load: '1' },
  peers: { ours: { label: 'this service', version: '1' }, nchan: { label: 'nginx + nchan', version: '2' } },
  settings: {} as Result['settings'],
  metrics: [METRIC],
  rounds: [4, 9, 5].flatMap((cpu, i) => [
    { round: i + 1, peer: 'ours', metrics: { cpu }, integrity: WHOLE, notes: [] },
    {
      round: i + 1,
      peer: 'nchan',
      metrics: { cpu: cpu + 5 },
      integrity: { ...WHOLE, received: 4, missing: 1 },
      notes: [],
    },
  ]),
  failures: [],
};

describe('a result', () => {
  it('takes the middle of the rounds, or the mean of the two middle ones', () => {
    expect(median([9, 1, 4])).toBe(4);
    expect(median([1, 2, 4, 9])).toBe(3);
    expect(median([])).toBeUndefined();
  });

  it('compares medians of peers, and has no ratio where one is missing', () => {
    expect(medianOf(RESULT, 'nchan', 'cpu')).toBe(10);
    expect(ratioOf(RESULT, 'nchan', METRIC)).toBe(0.5);
    expect(ratioOf(RESULT, 'plain', METRIC)).toBeUndefined();
  });

  it('compares with another metric only where a peer does not have the same one', () => {
    const inBatches: Metric = { ...METRIC, key: 'batchCpu', comparedWith: 'cpu' };
    const result: Result = {
      ...RESULT,
      rounds: RESULT.rounds.map((round) =>
        round.peer === 'ours' ? { ...round, metrics: { ...round.metrics, batchCpu: 2 } } : round,
      ),
    };
    const before = { ...result.rounds[0], peer: 'before', metrics: { cpu: 5, batchCpu: 4 } };
    const both = { ...result, rounds: [...result.rounds, before as Result['rounds'][number]] };
    expect(ratioOf(both, 'nchan', inBatches)).toBe(0.2);
    expect(ratioOf(both, 'before', inBatches)).toBe(0.5);
  });

  it('is whole only when everything came once', () => {
    expect(isWhole(WHOLE)).toBe(true);
    expect(isWhole({ ...WHOLE, received: 4 })).toBe(false);
    expect(isWhole({ ...WHOLE, missing: 1, repeated: 1 })).toBe(false);
  });

  it('shows lost messages beside the figures, and whether a goal is met', () => {
    const table = scenarioTable(RESULT);
    expect(table).toMatch(/CPU <per> delivery \[µs\] +5\.0 +10\.0 +0\.50/);
    expect(table).toMatch(/all, once, in order +3 lost/);
    expect(ratioTable([RESULT])).toMatch(/nchan +5\.0 +10\.0 +0\.50 +≤ 0\.85 +met/);
  });

  it('shows a bound of its own that is missed', () => {
    const table = ratioTable([{ ...RESULT, metrics: [{ ...METRIC, goals: {}, limit: 4.5 }] }]);
    expect(table).toMatch(/delivery +5\.0 +≤ 4\.5 +missed/);
  });

  it('is drawn with its figures also in words, and escaped', () => {
    const svg = drawChart(RESULT);
    expect(svg).toContain('CPU &lt;per> delivery in µs: this service 5.0, nginx + nchan 10.0');
    expect(svg.match(/<rect /g)).toHaveLength(2);
    expect(svg).toContain('prefers-color-scheme: dark');
  });
});
