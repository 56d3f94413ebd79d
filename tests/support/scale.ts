/**
 * How large the statistical tests are: a hundred kills, fleets under load, every byte of a torn file. `TEST_SCALE=full`
 * runs them at the size that their promises are stated for, as continuous integration does. Otherwise they are small
 * enough to run before every commit: every test runs, and shows the same on fewer cases.
 */
const isFull = process.env['TEST_SCALE'] === 'full';

export function atScale<T>(full: T, quick: T): T {
  return isFull ? full : quick;
}

/** A number from the environment, which overrules the scale, or `otherwise`. */
export function numberFromEnv(name: string, otherwise: number): number {
  return Number(process.env[name] ?? otherwise);
}
