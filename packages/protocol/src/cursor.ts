/**
 * The cursor: the positions of all of a stream's channels, as the SSE `id:`.
 *
 *     check ~ position ~ position ~ …        position = offset . epoch      (offset and check in base 36)
 *
 * `check` is a hash of the list of channels, so that a cursor is never applied to another list. A position may be
 * empty (`~~`): the stream starts that channel at its newest publication. Everything is visible ASCII; with
 * `MAX_CURSOR_CHANNELS` channels a cursor is below 1 KB, so that it fits into a request header.
 */
import type { Position } from './position.ts';

/** 48 × (11 digits of offset + `.` + 8 of epoch + `~`) + check stays below 1,024 bytes. */
export const MAX_CURSOR_CHANNELS = 48;
export const MAX_CURSOR_BYTES = 1024;

const SEPARATOR = '~';
const POSITION_PATTERN = /^(0|[1-9a-z][0-9a-z]{0,10})\.(-?[0-9a-z]{1,8})$/;

/** A hash of the list of channels (FNV-1a over the UTF-16 units); two lists share one in 1 of 4 billion cases. */
export function cursorCheck(channels: readonly string[]): string {
  let hash = 0x811c9dc5;
  for (const channel of channels) {
    for (let i = 0; i <= channel.length; i++) {
      // One step past the end mixes in a separator, so that ["ab"] and ["a", "b"] differ.
      const unit = i === channel.length ? 0xffff : channel.charCodeAt(i);
      hash = Math.imul(hash ^ (unit & 0xff), 0x01000193);
      hash = Math.imul(hash ^ (unit >>> 8), 0x01000193);
    }
  }
  return (hash >>> 0).toString(36);
}

export function encodePosition(position: Position): string {
  return `${position.offset.toString(36)}.${position.epoch}`;
}

/** `positions` are in the order of `channels`; `undefined` starts a channel at its newest publication. */
export function encodeCursor(
  channels: readonly string[],
  positions: readonly (Position | undefined)[],
): string {
  const words = positions.map((p) => (p === undefined ? '' : encodePosition(p)));
  return [cursorCheck(channels), ...words].join(SEPARATOR);
}

/** The positions of `channels` in `cursor`; `undefined` when it is invalid or belongs to another list. */
export function decodeCursor(
  cursor: string,
  channels: readonly string[],
): (Position | undefined)[] | undefined {
  if (cursor.length > MAX_CURSOR_BYTES) return undefined;
  const [check, ...words] = cursor.split(SEPARATOR);
  if (words.length !== channels.length || check !== cursorCheck(channels)) return undefined;
  const positions: (Position | undefined)[] = [];
  for (const word of words) {
    if (word === '') {
      positions.push(undefined);
      continue;
    }
    const match = POSITION_PATTERN.exec(word);
    if (match === null) return undefined;
    const offset = Number.parseInt(match[1] as string, 36);
    if (!Number.isSafeInteger(offset)) return undefined;
    positions.push({ offset, epoch: match[2] as string });
  }
  return positions;
}
