/** The configuration of Prometheus, its rules and their own tests, checked by promtool, and the text of each alert. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CONFIG_FOLDER, hasten } from '../support/monitoring/prometheus-server.ts';

const alertRules = readFileSync(join(CONFIG_FOLDER, 'prometheus/alerts.rules.yml'), 'utf8');
const alerts = alertRules
  .split(/^ {6}- alert: /m)
  .slice(1)
  .map((text) => ({ name: text.slice(0, text.indexOf('\n')), text }));

function promtool(...args: string[]): string {
  return execFileSync('promtool', args, { cwd: CONFIG_FOLDER, encoding: 'utf8', stdio: 'pipe' });
}

describe('the configuration of Prometheus', () => {
  it('is valid, and so are the rules that it names', () => {
    expect(promtool('check', 'config', 'prometheus.yml')).toMatch(/SUCCESS: 2 rule files found/);
  });

  it('has alerts that pass their tests, of which each has one', () => {
    expect(promtool('test', 'rules', 'prometheus/tests/alerts.test.yml')).toContain('SUCCESS');
    const tests = readFileSync(join(CONFIG_FOLDER, 'prometheus/tests/alerts.test.yml'), 'utf8');
    expect(alerts.filter(({ name }) => !tests.includes(`alertname="${name}"`))).toEqual([]);
  });

  it('is hastened for tests by its durations alone', () => {
    expect(hasten('increase(a[15m]) > 2\n        for: 30s\n  x: 5m')).toBe(
      'increase(a[15000ms]) > 2\n        for: 500ms\n  x: 5m',
    );
  });
});

describe.each(alerts)('$name', ({ text }) => {
  it('says what is wrong, in English and Chinese, how bad it is, and where to read on', () => {
    expect(text).toMatch(/^ {8}labels: \{ severity: (critical|warning) \}$/m);
    expect(text).toMatch(/^ {10}summary: '.+'$/m);
    expect(text).toMatch(/^ {10}summary_zh: '.*\p{Script=Han}.*'$/mu);
    expect(text).toMatch(/^ {10}description: >-\n {12}\S/m);
  });

  it.each(['.md', '.zh.md'])('has its place in the runbook, troubleshooting%s', (suffix) => {
    const link = /^ {10}runbook_url: (docs\/\S+)\.md#(\S+)$/m.exec(text);
    const page = readFileSync(join(CONFIG_FOLDER, '..', `${link?.[1]}${suffix}`), 'utf8');
    expect(page).toContain(`<a id="${link?.[2]}"></a>`);
  });
});
