import { randomBytes } from 'node:crypto';

/** Makes an epoch of more than 41 random bits, so that two lives of a log never share one. */
export function newEpoch(): string {
  return randomBytes(6).readUIntBE(0, 6).toString(36).padStart(8, '0').slice(-8);
}
