/** How long the next start of a worker waits. */

const FIRST_MS = 500;
const MAX_MS = 30_000;

/**
 * Doubles with each `failure` in a row; jittered over its upper half, so that workers that fail together do not
 * come back together, and never near 0. `random` is from 0 to 1.
 */
export function restartDelayMs(failures: number, random: number): number {
  const boundMs = Math.min(MAX_MS, FIRST_MS * 2 ** failures);
  return Math.round(boundMs * (0.5 + random / 2));
}
