/**
 * Merges two listings into one: channels with history, and channels that streams have joined. Both are sorted by name,
 * so a page of the merged listing is made from one page of each.
 */
import { isTransientChannel } from '@message-push/protocol';
import { compareNames } from '../../core/compare-names.ts';
import type { ChannelSummary } from '../../core/engine.ts';

export interface ListedChannel {
  readonly channel: string;
  readonly connectionCount: number;
  readonly summary: ChannelSummary | undefined;
}

/**
 * The first `limit` channels after `after`. `summaries` must hold more than `limit` channels after `after`, or all of
 * them. The `connection:` channels, one per stream, are not listed.
 */
export function mergeChannels(
  summaries: readonly ChannelSummary[],
  joined: ReadonlyMap<string, number>,
  after: string,
  limit: number,
): { channels: ListedChannel[]; hasMore: boolean } {
  const byName = new Map<string, ListedChannel>();
  for (const summary of summaries) {
    const connectionCount = joined.get(summary.channel) ?? 0;
    byName.set(summary.channel, { channel: summary.channel, connectionCount, summary });
  }
  for (const [channel, connectionCount] of joined) {
    if (byName.has(channel) || isTransientChannel(channel)) continue;
    if (after !== '' && compareNames(channel, after) <= 0) continue;
    byName.set(channel, { channel, connectionCount, summary: undefined });
  }
  const channels = [...byName.values()].toSorted((a, b) => compareNames(a.channel, b.channel));
  return { channels: channels.slice(0, limit), hasMore: channels.length > limit };
}
