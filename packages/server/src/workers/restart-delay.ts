/** The delay before a worker is restarted. */

const FIRST_MS = 500;
const MAX_MS = 30_000;

/**
 * The delay doubles with each consecutive failure. Jitter covers only its upper half, so that workers that fail
 * together do not restart together and no delay is near 0. `random` is between 0 and 1.
 */
export function restartDelayMs(failures: number, random: number): number {
  const boundMs = Math.min(MAX_MS, FIRST_MS * 2 ** failures);
  return Math.round(boundMs * (0.5 + random / 2));
}
