/**
 * The channels that this node's streams use. They are subscribed on the bus; what is announced there is handed on, and
 * whatever may have been lost is said to the engine's listener, which compares positions.
 */
import type { LogState } from '../../../core/engine.ts';
import { engineUnavailable } from '../../refusals.ts';
import type { RedisLink } from '../link/redis-link.ts';
import type { Subscriber } from '../link/subscriptions.ts';
import { decodeAnnouncement } from '../log/codec.ts';
import type { HistoryReader } from '../log/history-reader.ts';
import type { Keys } from '../names/keys.ts';
import type { Announcer } from './announcer.ts';

export interface WatchedChannelsOptions {
  readonly link: RedisLink;
  readonly keys: Keys;
  readonly history: Pick<HistoryReader, 'states'>;
  readonly announcer: Announcer;
}

/** A watched channel with the position up to which it was announced; `epoch` is '' before anything was. */
export interface WatchedChannel {
  readonly channel: string;
  epoch: string;
  offset: number;
}

export class WatchedChannels implements Subscriber {
  readonly #options: WatchedChannelsOptions;
  /** By the channel's name on the bus. */
  readonly #watched = new Map<string, WatchedChannel>();

  constructor(options: WatchedChannelsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#watched.size;
  }

  /** By its name on the bus. */
  get(name: string): WatchedChannel | undefined {
    return this.#watched.get(name);
  }

  /** Names on the bus with their channels, in the order in which they were watched. */
  entries(): IterableIterator<[string, WatchedChannel]> {
    return this.#watched.entries();
  }

  async watch(channels: readonly string[]): Promise<readonly LogState[]> {
    const { link, keys, history } = this.#options;
    const names = channels.map((channel) => keys.log(channel));
    channels.forEach((channel, i) => {
      this.#watched.set(names[i] as string, { channel, epoch: '', offset: 0 });
    });
    try {
      await link.subscribe(names, this);
      const states = await history.states(channels);
      states.forEach(({ epoch, offset }, i) => {
        const watched = this.#watched.get(names[i] as string);
        if (watched?.epoch !== '' || offset === 0) return;
        watched.epoch = epoch;
        watched.offset = offset;
      });
      return states;
    } catch (error) {
      this.unwatch(channels);
      throw engineUnavailable('the channels could not be watched', error);
    }
  }

  unwatch(channels: readonly string[]): void {
    const { link, keys } = this.#options;
    const names = channels.map((channel) => keys.log(channel));
    for (const name of names) this.#watched.delete(name);
    link.unsubscribe(names);
  }

  onMessage(name: string, bytes: Buffer): void {
    const watched = this.#watched.get(name);
    if (watched === undefined) return;
    const { announcer } = this.#options;
    const { channel } = watched;
    const { epoch, publications } = decodeAnnouncement(bytes);
    const newest = publications.at(-1);
    if (newest === undefined) {
      announcer.suspect([channel]);
      return;
    }
    watched.epoch = epoch;
    watched.offset = newest.offset;
    for (const { message, offset, order } of publications) {
      announcer.announce({ message, places: [{ channel, epoch, offset }], order });
    }
  }

  onMissed(names: readonly string[]): void {
    this.#options.announcer.suspect(names.flatMap((name) => this.#watched.get(name)?.channel ?? []));
  }
}
