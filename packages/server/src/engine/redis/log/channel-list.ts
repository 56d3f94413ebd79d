/** Lists channels with history, for people and tools: it looks at every key of the servers. */
import { compareNames } from '../../../core/compare-names.ts';
import type { ChannelSummary } from '../../../core/engine.ts';
import { engineUnavailable } from '../../refusals.ts';
import type { RedisLink } from '../link/redis-link.ts';
import type { Keys } from '../names/keys.ts';
import { lostBefore, numberOf, readLog, stateOf } from './codec.ts';
import { firstKept } from './kept-entries.ts';

export interface ChannelListOptions {
  readonly link: RedisLink;
  readonly keys: Keys;
  readonly maxMessagesPerChannel: number;
}

const SCAN_COUNT = 1000;

export class ChannelList {
  readonly #options: ChannelListOptions;

  constructor(options: ChannelListOptions) {
    this.#options = options;
  }

  async page({ prefix, after, limit }: { prefix: string; after: string; limit: number }): Promise<{
    total: number;
    channels: readonly ChannelSummary[];
  }> {
    try {
      const names = (await this.#scan(prefix)).sort(compareNames);
      const page = names.filter((name) => compareNames(name, after) > 0).slice(0, limit);
      return { total: names.length, channels: await this.#summaries(page) };
    } catch (error) {
      throw engineUnavailable('channels could not be listed', error);
    }
  }

  async #scan(prefix: string): Promise<string[]> {
    const { link, keys } = this.#options;
    const names = new Set<string>();
    const pattern = keys.historyPattern(prefix);
    await Promise.all(
      link.shards.map(async (shard) => {
        let cursor = '0';
        do {
          const reply = await shard.call(['SCAN', cursor, 'MATCH', pattern, 'COUNT', String(SCAN_COUNT)]);
          const [next, found] = reply as [string, string[]];
          for (const key of found) names.add(keys.channelOfHistory(key));
          cursor = next;
        } while (cursor !== '0');
      }),
    );
    return [...names];
  }

  async #summaries(channels: readonly string[]): Promise<ChannelSummary[]> {
    const { link, keys, maxMessagesPerChannel } = this.#options;
    const summaries: (ChannelSummary | undefined)[] = [];
    const args = [String(maxMessagesPerChannel)];
    const logs = channels.map((channel) => keys.log(channel));
    await link.perSlot(logs, async (indexes) => {
      const keysHere = indexes.flatMap((i) => [logs[i] as string, keys.history(channels[i] as string)]);
      const reply = await link.call({ script: 'summaries', keys: keysHere, args, asBytes: true });
      const [now, ...found] = reply as [Buffer, ...unknown[]];
      indexes.forEach((index, i) => {
        const [bytes, facts, size] = found.slice(3 * i, 3 * i + 3) as [Buffer, Buffer, number];
        const log = readLog(bytes);
        const first = log && firstKept(log, facts, maxMessagesPerChannel);
        // It has expired since it was found.
        if (log === undefined || first === undefined) return;
        summaries[index] = {
          channel: channels[index] as string,
          ...stateOf(log, lostBefore(log, first, numberOf(now))),
          messages: log.offset - first.first + 1,
          bytes: log.bytes - first.bytes + size,
          lastPublishedMs: Math.floor(log.order / 1000),
        };
      });
    });
    return summaries.flatMap((summary) => summary ?? []);
  }
}
