/** Merges what was read of several channels: in the order of publishing, and never beyond what is not read yet. */
import type { HistoryPage, LogState } from '../../../core/engine.ts';
import type { Place, Publication } from '../../../core/message.ts';
import {
  FACTS_BYTES,
  factsFrom,
  type LogFacts,
  lostBefore,
  messagesOf,
  type Numbered,
  readFacts,
  stateOf,
} from './codec.ts';

/** What a script has read of one channel after an offset. */
export interface ChannelRead {
  readonly channel: string;
  readonly after: number;
  readonly log: LogFacts | undefined;
  /** Entries as they are in the history. The first may hold messages that were not asked for. */
  readonly list: readonly Buffer[];
  /** Messages that a channel keeps. */
  readonly maxMessages: number;
  readonly nowMs: number;
  /** Size at which the list was cut. */
  readonly maxBytes: number;
  /** State of a channel without a log. */
  readonly unborn: LogState;
}

interface Entry extends Numbered {
  /** Index of its channel. */
  readonly index: number;
}

export function assemblePage(reads: readonly ChannelRead[], maxBytes: number): HistoryPage {
  const channels = reads.map(readChannel);
  // Beyond the last entry of a channel that was cut, entries of another channel would come too early.
  let horizon = Number.POSITIVE_INFINITY;
  for (const { isCut, lastOrder } of channels) if (isCut) horizon = Math.min(horizon, lastOrder);
  const entries: Entry[] = [];
  channels.forEach(({ kept }, index) => {
    for (const { order, offset, message } of kept) entries.push({ order, offset, message, index });
  });
  entries.sort((a, b) => a.order - b.order || (a.message.id < b.message.id ? -1 : 1));

  const reached = channels.map(({ reachedOffset }) => reachedOffset);
  const publications: Publication[] = [];
  let bytes = 0;
  for (let i = 0; i < entries.length; ) {
    const first = entries[i] as Entry;
    let end = i + 1;
    while (isSame(entries[end], first)) end++;
    if (first.order > horizon || (publications.length > 0 && bytes >= maxBytes)) {
      for (const { index, offset } of entries.slice(i)) {
        reached[index] = Math.min(reached[index] as number, offset - 1);
      }
      break;
    }
    const places = entries.slice(i, end).map(({ index, offset }): Place => {
      const { channel, log } = reads[index] as ChannelRead;
      return { channel, epoch: log?.epoch ?? '', offset };
    });
    publications.push({ message: first.message, places, order: first.order });
    bytes += first.message.json.length;
    i = end;
  }
  return {
    publications,
    channels: channels.map(({ state }, i) => ({ state, reachedOffset: reached[i] as number })),
    isComplete: channels.every(({ state }, i) => (reached[i] as number) >= state.offset),
  };
}

function isSame(entry: Entry | undefined, first: Entry): boolean {
  return entry !== undefined && entry.order === first.order && entry.message.id === first.message.id;
}

function readChannel({ after, log, list, maxMessages, nowMs, maxBytes, unborn }: ChannelRead) {
  if (log === undefined) {
    return { state: unborn, kept: [], reachedOffset: after, isCut: false, lastOrder: 0 };
  }
  const from = Math.max(after, log.offset - maxMessages) + 1;
  const found: Numbered[] = [];
  let lostTo = 0;
  let bytes = 0;
  let previous = after;
  let lastOrder = 0;
  for (const entry of list) {
    const facts = factsFrom(readFacts(entry), from);
    bytes += entry.length - FACTS_BYTES;
    if (facts.first > previous + 1) {
      const lost = lostBefore(log, facts, nowMs);
      if (lost > previous) lostTo = lost;
    }
    const isExpired = facts.expiresMs !== 0 && facts.expiresMs <= nowMs;
    if (!isExpired) found.push(...messagesOf(entry, facts));
    else if (!facts.hasOwnTtl) lostTo = facts.offset;
    previous = facts.offset;
    lastOrder = facts.order;
  }
  if (list.length === 0 && log.offset > after) {
    const lost = lostBefore(log, undefined, nowMs);
    if (lost > after) lostTo = lost;
  }
  const isCut = list.length > 0 && bytes >= maxBytes && previous < log.offset;
  return {
    state: stateOf(log, lostTo),
    kept: found.filter(({ offset }) => offset > lostTo),
    reachedOffset: isCut ? previous : Math.max(after, log.offset),
    isCut,
    lastOrder,
  };
}
