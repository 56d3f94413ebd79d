import { describe, expect, it } from 'vitest';
import { mergeMetrics } from './merge-metrics.ts';
import { createMetrics } from './metrics.ts';
import { createPrimaryMetrics } from './primary-metrics.ts';

describe('metrics of several processes', () => {
  it('have each family once and each sample with its worker', () => {
    const text = (n: number) =>
      [
        '# HELP hits Hits so far.',
        '# TYPE hits counter',
        `hits{path="/a{b} c",le="+Inf"} ${n}`,
        `hits ${n}`,
        '',
        '# HELP only Only.',
        '# TYPE only gauge',
        ...(n === 2 ? ['only NaN'] : []),
        '',
      ].join('\n');
    expect(
      mergeMetrics([
        { text: text(1), worker: 1 },
        { text: text(2), worker: 2 },
      ]),
    ).toBe(
      [
        '# HELP hits Hits so far.',
        '# TYPE hits counter',
        'hits{worker="1",path="/a{b} c",le="+Inf"} 1',
        'hits{worker="1"} 1',
        'hits{worker="2",path="/a{b} c",le="+Inf"} 2',
        'hits{worker="2"} 2',
        '# HELP only Only.',
        '# TYPE only gauge',
        'only{worker="2"} NaN',
        '',
      ].join('\n'),
    );
  });

  it('leave the samples of a part without a worker as they are, and a part without text out', () => {
    expect(mergeMetrics([{ text: '# TYPE up gauge\nup 1\n' }, { text: '', worker: 1 }])).toBe(
      '# TYPE up gauge\nup 1\n',
    );
    expect(mergeMetrics([{ text: 'bare 1', worker: 3 }])).toBe('bare{worker="3"} 1\n');
  });

  it('are, with those of the service, one series of each kind', async () => {
    const primary = createPrimaryMetrics(() => [{ index: 1, isReady: true, restarts: 4 }]);
    const metrics = createMetrics({ version: '1.2.3' });
    try {
      const worker = await metrics.text();
      const merged = mergeMetrics([
        { text: await primary.text() },
        { text: worker, worker: 1 },
        { text: worker, worker: 2 },
      ]);
      const lines = merged.split('\n');
      const series = lines
        .filter((line) => line !== '' && !line.startsWith('#'))
        .map((l) => l.replace(/ \S+$/, ''));
      expect(new Set(series).size).toBe(series.length);
      expect(series.filter((s) => !/[{,]worker="[012]"/.test(s))).toEqual([]);
      const types = lines.filter((line) => line.startsWith('# TYPE'));
      expect(new Set(types).size).toBe(types.length);
      expect(lines).toContain('message_push_worker_restarts_total{worker="1"} 4');
      expect(series.filter((s) => s.startsWith('message_push_log_lines_lost_total'))).toEqual(
        [0, 1, 2].map((n) => `message_push_log_lines_lost_total{worker="${n}"}`),
      );
    } finally {
      metrics.close();
    }
  });
});
