/**
 * One clock for all processes of a run: CLOCK_MONOTONIC in µs, so that a publisher's stamp can be compared with a
 * stream's arrival time. `performance.now()` alone starts at 0 in each process, and `process.hrtime.bigint()`
 * allocates.
 */

const TRIES = 1000;

/** A delay between the two readings makes the difference too small, so the largest difference is the true one. */
function findOriginUs(): number {
  let originUs = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < TRIES; i++) {
    originUs = Math.max(originUs, Number(process.hrtime.bigint()) / 1000 - performance.now() * 1000);
  }
  return originUs;
}

const originUs = findOriginUs();

export function monotonicUs(): number {
  return Math.round(originUs + performance.now() * 1000);
}
