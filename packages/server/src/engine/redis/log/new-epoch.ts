/** A name for an epoch of a log: eight characters, as `lua/log/format.lua` wants them. */
export function newEpoch(random: () => number): string {
  return Math.floor(random() * 36 ** 8)
    .toString(36)
    .padStart(8, '0');
}
