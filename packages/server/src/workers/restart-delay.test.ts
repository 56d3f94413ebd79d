import { expect, it } from 'vitest';
import { restartDelayMs } from './restart-delay.ts';

it('a restart waits twice as long after each failure, up to 30 s, and never a moment', () => {
  const failures = [0, 1, 2, 3, 4, 5, 6, 7, 2000];
  expect(failures.map((n) => restartDelayMs(n, 0))).toEqual([
    250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000,
  ]);
  expect(failures.map((n) => restartDelayMs(n, 1))).toEqual([
    500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000,
  ]);
});
