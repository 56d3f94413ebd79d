/** Puts together what was read of several channels: in the order of publishing, and never past what is not read yet. */
import type { HistoryPage, LogState } from '../../core/engine.ts';
import type { Message, Place, Publication } from '../../core/message.ts';
import {
  type EntryFacts,
  FACTS_BYTES,
  type LogFacts,
  lostBefore,
  messageOf,
  readFacts,
  stateOf,
} from './codec.ts';

/** What a script has read of one channel after an offset. */
export interface ChannelRead {
  readonly channel: string;
  readonly after: number;
  readonly log: LogFacts | undefined;
  /** Entries as they stand in the history. */
  readonly list: readonly Buffer[];
  readonly nowMs: number;
  /** The list was cut at so many bytes. */
  readonly maxBytes: number;
  /** For a channel without a log. */
  readonly unborn: LogState;
}

interface Entry {
  readonly order: number;
  readonly offset: number;
  readonly index: number;
  readonly message: Message;
}

export function assemblePage(reads: readonly ChannelRead[], maxBytes: number): HistoryPage {
  const channels = reads.map(readChannel);
  // Beyond the end of a channel that was cut, another one's entries would come too early.
  let horizon = Number.POSITIVE_INFINITY;
  for (const { isCut, lastOrder } of channels) if (isCut) horizon = Math.min(horizon, lastOrder);
  const entries: Entry[] = [];
  channels.forEach(({ kept }, index) => {
    for (const { facts, message } of kept)
      entries.push({ order: facts.order, offset: facts.offset, index, message });
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

function readChannel({ after, log, list, nowMs, maxBytes, unborn }: ChannelRead) {
  if (log === undefined) {
    return { state: unborn, kept: [], reachedOffset: after, isCut: false, lastOrder: 0 };
  }
  const entries: { facts: EntryFacts; message: Message }[] = [];
  let lostTo = 0;
  let bytes = 0;
  let previous = after;
  let lastOrder = 0;
  for (const entry of list) {
    const facts = readFacts(entry);
    bytes += entry.length - FACTS_BYTES;
    if (facts.offset > previous + 1) {
      const lost = lostBefore(log, facts, nowMs);
      if (lost > previous) lostTo = lost;
    }
    const isExpired = facts.expiresMs !== 0 && facts.expiresMs <= nowMs;
    if (!isExpired) entries.push({ facts, message: messageOf(entry) });
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
    kept: entries.filter(({ facts }) => facts.offset > lostTo),
    reachedOffset: isCut ? previous : Math.max(after, log.offset),
    isCut,
    lastOrder,
  };
}
