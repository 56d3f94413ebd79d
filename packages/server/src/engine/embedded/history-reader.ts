/** Reads history: asks the store thread for rows, and says what they mean for channels as the engine knows them. */
import type { Position } from '@message-push/protocol';
import type { HistoryPage, HistoryRange, LogState, ReadFrom, Start } from '../../core/engine.ts';
import type { Publication } from '../../core/message.ts';
import type { ChannelLogs } from './channel-logs.ts';
import { publicationsOf } from './page.ts';
import type { StoreClient } from './store/store-client.ts';
import type { PageReply } from './store/store-protocol.ts';
import { storeUnreadable } from './store-refusals.ts';

const RANGE_MAX_BYTES = 8 * 1024 * 1024;

export interface HistoryReaderParts {
  readonly store: StoreClient;
  readonly logs: ChannelLogs;
  readonly now: () => number;
}

/** A channel that the store is asked for, and its index among those that the reader wants. */
interface Asked {
  readonly channelId: number;
  readonly offset: number;
  readonly index: number;
}

export class HistoryReader {
  readonly #parts: HistoryReaderParts;

  constructor(parts: HistoryReaderParts) {
    this.#parts = parts;
  }

  /** See `Engine.locate`. */
  async locate(channel: string, start: Start): Promise<Position> {
    const { logs, now, store } = this.#parts;
    const state = logs.stateOf(channel, now());
    const log = logs.get(channel);
    const at = (offset: number): Position => ({
      offset: Math.min(Math.max(offset, state.floor), state.offset),
      epoch: state.epoch,
    });
    if (log === undefined || state.offset === 0) return at(0);
    switch (start.kind) {
      case 'now':
        return at(state.offset);
      case 'all':
        return at(0);
      case 'last':
        return at(state.offset - start.count);
      case 'time':
        return at(
          await new Promise((resolve, reject) => {
            const request = { op: 'locate', channel: log.id, sinceMs: start.sinceMs } as const;
            store.send(request, resolve, (error) => reject(storeUnreadable(error)));
          }),
        );
    }
  }

  /** See `Engine.read`. */
  read(from: readonly ReadFrom[], maxBytes: number): Promise<HistoryPage> {
    const { now, store } = this.#parts;
    const nowMs = now();
    const asked = this.#toAsk(from, nowMs);
    return new Promise((resolve, reject) => {
      store.send(
        {
          op: 'read',
          from: asked.map(({ channelId, offset }) => ({ channel: channelId, offset })),
          maxBytes,
          nowMs,
        },
        (page) => resolve(this.#historyPage(from, asked, page, nowMs)),
        (error) => reject(storeUnreadable(error)),
      );
    });
  }

  /** See `Engine.range`. */
  range(
    channel: string,
    { from, to, limit, reverse }: HistoryRange,
  ): Promise<{ state: LogState; publications: readonly Publication[] }> {
    const { logs, now, store } = this.#parts;
    const nowMs = now();
    const { floor } = logs.stateOf(channel, nowMs);
    const log = logs.get(channel);
    if (log === undefined) {
      return Promise.resolve({ state: logs.stateOf(channel, nowMs), publications: [] });
    }
    const request = {
      op: 'range',
      channel: log.id,
      from: Math.max(from, floor + 1),
      to,
      limit,
      maxBytes: RANGE_MAX_BYTES,
      reverse,
      nowMs,
    } as const;
    return new Promise((resolve, reject) => {
      store.send(
        request,
        (page) => {
          const state = logs.stateOf(channel, nowMs);
          resolve({ state, publications: publicationsOf(page, [{ channel, epoch: state.epoch }]) });
        },
        (error) => reject(storeUnreadable(error)),
      );
    });
  }

  /** The channels that may have something after the reader's offset. */
  #toAsk(from: readonly ReadFrom[], nowMs: number): Asked[] {
    const { logs } = this.#parts;
    const asked: Asked[] = [];
    for (let index = 0; index < from.length; index++) {
      const { channel, offset } = from[index] as ReadFrom;
      const log = logs.get(channel);
      // What is being committed counts: all channels are read at one moment, or a message of one channel would
      // come before an older one that stands in both.
      if (log === undefined || offset >= log.offset + log.pending) continue;
      // Rows up to the floor may not be deleted yet, but nobody may read them.
      const { floor } = logs.stateOf(channel, nowMs);
      asked.push({ channelId: log.id, offset: Math.max(offset, floor), index });
    }
    return asked;
  }

  #historyPage(
    from: readonly ReadFrom[],
    asked: readonly Asked[],
    page: PageReply,
    nowMs: number,
  ): HistoryPage {
    const { logs } = this.#parts;
    asked.forEach(({ channelId }, i) => {
      const log = logs.byId(channelId);
      if (log !== undefined) log.floor = Math.max(log.floor, page.lostTo[i] as number);
    });
    const states = from.map(({ channel }) => logs.stateOf(channel, nowMs));
    // A channel that was at its top when asked may have grown since: nothing of that is in this page.
    const reached = from.map(({ offset }) => offset);
    asked.forEach(({ index }, i) => {
      const reachedOffset = page.reached[i] as number;
      reached[index] = reachedOffset < 0 ? (states[index]?.offset ?? 0) : reachedOffset;
    });
    const channels = asked.map(({ index }) => ({
      channel: (from[index] as ReadFrom).channel,
      epoch: states[index]?.epoch ?? '',
    }));
    return {
      publications: publicationsOf(page, channels),
      channels: states.map((state, i) => ({ state, reachedOffset: reached[i] as number })),
      isComplete: states.every((state, i) => state.offset <= (reached[i] as number)),
    };
  }
}
