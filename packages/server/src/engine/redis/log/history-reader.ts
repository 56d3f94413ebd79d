/** Reads logs: where they stand, what follows a position, and ranges of a channel for people and tools. */
import { setTimeout as pause } from 'node:timers/promises';
import { type Position, unbornPosition } from '@message-push/protocol';
import type { HistoryPage, HistoryRange, LogState, ReadFrom, Start } from '../../../core/engine.ts';
import type { Publication } from '../../../core/message.ts';
import { engineUnavailable } from '../../refusals.ts';
import type { RedisLink } from '../link/redis-link.ts';
import type { Keys } from '../names/keys.ts';
import {
  factsFrom,
  type LogFacts,
  lostBefore,
  messagesOf,
  numberOf,
  readFacts,
  readLog,
  stateOf,
} from './codec.ts';
import { firstKept, lowestKept } from './kept-entries.ts';
import { assemblePage, type ChannelRead } from './page.ts';

export interface HistoryReaderOptions {
  readonly link: RedisLink;
  readonly keys: Keys;
  readonly maxMessagesPerChannel: number;
  readonly now: () => number;
  readonly random: () => number;
}

/** How long a page waits for a server that is unreachable. Streams stay open meanwhile. */
const READ_PATIENCE_MS = 600_000;
const READ_PAUSE_MS = 250;
const RANGE_MAX_BYTES = 8 * 1024 * 1024;
/** An offset that Lua still counts exactly, beyond that of any log. */
const BEYOND_ALL = 1e13;

export class HistoryReader {
  readonly #options: HistoryReaderOptions;

  constructor(options: HistoryReaderOptions) {
    this.#options = options;
  }

  async states(channels: readonly string[]): Promise<readonly LogState[]> {
    try {
      return await this.#states(channels);
    } catch (error) {
      throw unreadable(error);
    }
  }

  async locate(channel: string, start: Start): Promise<Position> {
    const [state] = await this.states([channel]);
    if (state === undefined) throw new Error('unreachable: one channel was asked for');
    const { epoch, offset, floor } = state;
    const at = (position: number): Position => ({ epoch, offset: Math.max(floor, position) });
    if (offset === 0 || start.kind === 'now') return { epoch, offset };
    if (start.kind === 'all') return at(floor);
    if (start.kind === 'last') return at(offset - start.count);
    const { link, maxMessagesPerChannel } = this.#options;
    const args = [String(maxMessagesPerChannel), String(start.sinceMs)];
    try {
      const first = await link.call({ script: 'locate', keys: this.#keysOf(channel), args });
      return at(Number(first) - 1);
    } catch (error) {
      throw unreadable(error);
    }
  }

  /** Waits for servers that are unreachable. */
  async read(from: readonly ReadFrom[], maxBytes: number): Promise<HistoryPage> {
    const { link, random } = this.#options;
    const untilMs = performance.now() + READ_PATIENCE_MS;
    for (;;) {
      try {
        return await this.#read(from, maxBytes);
      } catch (error) {
        if (link.isClosing || performance.now() > untilMs) throw unreadable(error);
        await pause(READ_PAUSE_MS * (0.5 + random()), undefined, { ref: false });
      }
    }
  }

  async range(
    channel: string,
    range: HistoryRange,
  ): Promise<{ state: LogState; publications: readonly Publication[] }> {
    const { link, maxMessagesPerChannel } = this.#options;
    const args = [
      String(maxMessagesPerChannel),
      String(range.from),
      String(Math.min(range.to, BEYOND_ALL)),
      String(range.limit),
      String(RANGE_MAX_BYTES),
      range.reverse ? '1' : '0',
    ];
    try {
      const reply = await link.call({ script: 'range', keys: this.#keysOf(channel), args, asBytes: true });
      const [now, bytes, first, entries] = reply as [Buffer, Buffer, Buffer, Buffer[]];
      const log = readLog(bytes);
      if (log === undefined) return { state: this.#unborn(), publications: [] };
      const lost = lostBefore(log, firstKept(log, first, maxMessagesPerChannel), numberOf(now));
      const lowest = Math.max(range.from, lowestKept(log, maxMessagesPerChannel));
      return {
        state: stateOf(log, lost),
        publications: publicationsOf({ channel, log, entries, lowest, range }),
      };
    } catch (error) {
      throw unreadable(error);
    }
  }

  async #states(channels: readonly string[]): Promise<readonly LogState[]> {
    const { link, keys, maxMessagesPerChannel } = this.#options;
    const states: LogState[] = Array.from({ length: channels.length }, () => this.#unborn());
    const args = [String(maxMessagesPerChannel)];
    const logs = channels.map((channel) => keys.log(channel));
    await link.perSlot(logs, async (indexes) => {
      const keysHere = indexes.flatMap((i) => this.#keysOf(channels[i] as string));
      const reply = await link.call({ script: 'states', keys: keysHere, args, asBytes: true });
      const [now, ...found] = reply as [Buffer, ...Buffer[]];
      indexes.forEach((index, i) => {
        const log = readLog(found[2 * i] as Buffer);
        if (log === undefined) return;
        const first = firstKept(log, found[2 * i + 1] as Buffer, maxMessagesPerChannel);
        states[index] = stateOf(log, lostBefore(log, first, numberOf(now)));
      });
    });
    return states;
  }

  async #read(from: readonly ReadFrom[], maxBytes: number): Promise<HistoryPage> {
    const { link, keys, maxMessagesPerChannel } = this.#options;
    const reads: ChannelRead[] = [];
    const unborn = this.#unborn();
    // All channels together are bounded, and each brings something.
    const share = Math.max(1, Math.ceil(maxBytes / from.length));
    const logs = from.map(({ channel }) => keys.log(channel));
    await link.perSlot(logs, async (indexes) => {
      const keysHere = indexes.flatMap((i) => this.#keysOf((from[i] as ReadFrom).channel));
      const offsets = indexes.map((i) => String((from[i] as ReadFrom).offset));
      const args = [String(maxMessagesPerChannel), String(share), ...offsets];
      const reply = await link.call({ script: 'read', keys: keysHere, args, asBytes: true });
      const [now, ...found] = reply as [Buffer, ...unknown[]];
      indexes.forEach((index, i) => {
        const { channel, offset } = from[index] as ReadFrom;
        reads[index] = {
          channel,
          after: offset,
          log: readLog(found[2 * i] as Buffer),
          list: found[2 * i + 1] as Buffer[],
          maxMessages: maxMessagesPerChannel,
          nowMs: numberOf(now),
          maxBytes: share,
          unborn,
        };
      });
    });
    return assemblePage(reads, maxBytes);
  }

  #keysOf(channel: string): [string, string] {
    const { keys } = this.#options;
    return [keys.log(channel), keys.history(channel)];
  }

  #unborn(): LogState {
    return { ...unbornPosition(this.#options.now()), floor: 0 };
  }
}

/** The publications of a range, from entries that may hold messages outside of it. */
function publicationsOf({
  channel,
  log: { epoch },
  entries,
  lowest,
  range: { to, limit, reverse },
}: {
  readonly channel: string;
  readonly log: LogFacts;
  readonly entries: readonly Buffer[];
  readonly lowest: number;
  readonly range: HistoryRange;
}): readonly Publication[] {
  const publications = entries.flatMap((entry) => {
    const messages = messagesOf(entry, factsFrom(readFacts(entry), lowest)).filter(
      ({ offset }) => offset <= to,
    );
    return (reverse ? messages.reverse() : messages).map(
      ({ message, offset, order }): Publication => ({ message, places: [{ channel, epoch, offset }], order }),
    );
  });
  return publications.slice(0, limit);
}

function unreadable(error: unknown): Error {
  return engineUnavailable('history could not be read', error);
}
