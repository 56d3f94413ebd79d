/**
 * The judge: compares what a stream was shown with what its channels hold, and counts what was lost, repeated, out of
 * order, and lost without a gap.
 */
import type { ChannelGap } from '@message-push/protocol';

/** Numbers of messages by offset, the first at offset 1. */
export type Log = readonly number[];

export interface ShownStream {
  /** Channels in the order of the URL. */
  readonly channels: readonly string[];
  /** Numbers of messages in the order in which they were shown. */
  readonly shown: readonly number[];
  /** The channels of all `gap` events. */
  readonly gaps: readonly ChannelGap[];
}

export interface Verdict {
  expected: number;
  shown: number;
  lost: number;
  repeated: number;
  outOfOrder: number;
  /** Lost messages that no gap names. */
  unannounced: number;
  /** Shown messages that are on none of its channels. */
  foreign: number;
}

export function noVerdict(): Verdict {
  return { expected: 0, shown: 0, lost: 0, repeated: 0, outOfOrder: 0, unannounced: 0, foreign: 0 };
}

export function addVerdict(sum: Verdict, one: Verdict): void {
  for (const key of Object.keys(sum) as (keyof Verdict)[]) sum[key] += one[key];
}

/** `channelsOf` returns the channels of a message in the order of its target's fields. */
export function judge(
  { channels, shown, gaps }: ShownStream,
  logs: ReadonlyMap<string, Log>,
  channelsOf: (message: number) => readonly string[],
): Verdict {
  const verdict = noVerdict();
  const joined = new Set(channels);
  const seen = new Set<number>();
  for (const message of shown) {
    if (seen.has(message)) verdict.repeated++;
    seen.add(message);
    if (!channelsOf(message).some((c) => joined.has(c))) verdict.foreign++;
  }
  verdict.shown = seen.size;
  const counted = new Set<number>();
  for (const channel of channels) {
    const log = logs.get(channel) ?? [];
    const offsets = new Map(log.map((message, i) => [message, i + 1]));
    verdict.outOfOrder += descents(shown, offsets);
    for (const [message, offset] of offsets) {
      // A message counts on the first of its channels that the stream has joined, where it is shown.
      if (counted.has(message) || channelsOf(message).find((c) => joined.has(c)) !== channel) continue;
      counted.add(message);
      if (seen.has(message)) continue;
      verdict.lost++;
      if (!gaps.some((gap) => isCovered(gap, channel, offset))) verdict.unannounced++;
    }
  }
  verdict.expected = counted.size;
  return verdict;
}

/** Messages that follow one with a higher offset, without repeats, which are counted separately. */
function descents(shown: readonly number[], offsets: ReadonlyMap<number, number>): number {
  let highest = 0;
  let count = 0;
  for (const message of shown) {
    const offset = offsets.get(message);
    if (offset === undefined) continue;
    if (offset < highest) count++;
    else highest = offset;
  }
  return count;
}

function isCovered(gap: ChannelGap, channel: string, offset: number): boolean {
  if (gap.channel !== channel || gap.last_seen === null || gap.missed === null) return false;
  return offset > gap.last_seen.offset && offset <= gap.last_seen.offset + gap.missed;
}
