/**
 * The stamp that every benchmark message carries: `"bench":"LLL.SSSSSSSSSS.TTTTTTTTTTTTTT"`.
 *
 * It holds the lane (publisher), the sequence number within the lane from 1, and the time of sending in µs
 * (`monotonicUs`). All numbers have a fixed width, so a publisher patches them into a ready-made request and a stream
 * reads them at a known place, both without allocating.
 */

export const STAMP_KEY = '"bench":"';
const LANE_DIGITS = 3;
const SEQUENCE_DIGITS = 10;
const TIME_DIGITS = 14;
/** Number of publishers that a stamp can tell apart. */
export const MAX_LANES = 10 ** LANE_DIGITS;

const SEQUENCE_AT = STAMP_KEY.length + LANE_DIGITS + 1;
const TIME_AT = SEQUENCE_AT + SEQUENCE_DIGITS + 1;
/** Length from the first byte of the key to the last digit. */
export const STAMP_BYTES = TIME_AT + TIME_DIGITS;

const BLANK = `${STAMP_KEY}${'0'.repeat(LANE_DIGITS)}.${'0'.repeat(SEQUENCE_DIGITS)}.${'0'.repeat(TIME_DIGITS)}`;

/** Returns the stamp that a request body holds until a publisher patches it; `pad` adds that many bytes. */
export function blankStamp(pad = 0): string {
  return `${BLANK}${'x'.repeat(pad)}"`;
}

/** Placeholder for the number of a stream in paths and bodies; replaced by as many digits as it has characters. */
export const TARGET_PLACEHOLDER = '@@TARGET';
export const TARGET_DIGITS = TARGET_PLACEHOLDER.length;

const KEY_BYTES = Buffer.from(STAMP_KEY);

export function writeDigits(bytes: Uint8Array, at: number, digits: number, value: number): void {
  let rest = value;
  for (let i = at + digits - 1; i >= at; i--) {
    const tenth = Math.floor(rest / 10);
    bytes[i] = 0x30 + (rest - tenth * 10);
    rest = tenth;
  }
}

function readDigits(bytes: Uint8Array, at: number, digits: number): number {
  let value = 0;
  // The caller has checked that the whole stamp is within the buffer.
  for (let i = at; i < at + digits; i++) value = value * 10 + (bytes[i]! - 0x30);
  return value;
}

export function writeStamp(
  bytes: Uint8Array,
  at: number,
  lane: number,
  sequence: number,
  timeUs: number,
): void {
  writeDigits(bytes, at + STAMP_KEY.length, LANE_DIGITS, lane);
  writeDigits(bytes, at + SEQUENCE_AT, SEQUENCE_DIGITS, sequence);
  writeDigits(bytes, at + TIME_AT, TIME_DIGITS, timeUs);
}

export function stampLane(bytes: Uint8Array, at: number): number {
  return readDigits(bytes, at + STAMP_KEY.length, LANE_DIGITS);
}

export function stampSequence(bytes: Uint8Array, at: number): number {
  return readDigits(bytes, at + SEQUENCE_AT, SEQUENCE_DIGITS);
}

export function stampTimeUs(bytes: Uint8Array, at: number): number {
  return readDigits(bytes, at + TIME_AT, TIME_DIGITS);
}

/** Tells whether a whole stamp starts at `at` and ends before `end`. */
export function hasStampAt(bytes: Uint8Array, at: number, end: number): boolean {
  if (at < 0 || at + STAMP_BYTES > end) return false;
  for (let i = 0; i < KEY_BYTES.length; i++) if (bytes[at + i] !== KEY_BYTES[i]) return false;
  return true;
}

/** Returns the start of the first whole stamp in `[from, end)`, or -1. */
export function findStamp(bytes: Uint8Array, from: number, end: number): number {
  for (let at = from; at + STAMP_BYTES <= end; at++) if (hasStampAt(bytes, at, end)) return at;
  return -1;
}
