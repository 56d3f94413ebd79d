import { expect, test } from 'vitest';
import { LogFailures } from './log-failures.ts';

test('lost lines are all counted, and said at once and then a minute apart', () => {
  let nowMs = 1000;
  const said: string[] = [];
  const counters = { lostLines: 0 };
  const failures = new LogFailures({ counters, nowMs: () => nowMs, say: (text) => said.push(text) });
  failures.report('a.log', 1, new Error('ENOSPC'));
  nowMs += 59_999;
  failures.report('a.log', 4, new Error('ENOSPC'));
  expect(said).toEqual(['cannot write the log to a.log, 1 lines lost: ENOSPC\n']);
  nowMs += 1;
  failures.report('a.log', 2, 'it accepts lines too slowly');
  expect(said[1]).toBe('cannot write the log to a.log, 6 lines lost: it accepts lines too slowly\n');
  expect(counters.lostLines).toBe(7);
});
