/**
 * Compares watched channels with their logs, a slice at a time, round-robin. What a log has and the bus has not
 * brought may still be on its way, so it is looked at again at the next check; what is behind then is subscribed again.
 */
import type { RedisLink } from '../link/redis-link.ts';
import type { WatchedChannel, WatchedChannels } from './watched-channels.ts';

export interface PositionChecksOptions {
  readonly link: RedisLink;
  readonly watched: WatchedChannels;
  /** Logs of watched channels are kept for this long from now on, although nobody publishes to them. */
  readonly channelRetentionMs: number;
  readonly onWarning: (message: string) => void;
}

/** How often `check` is called, and how long a round of all channels takes. */
export const CHECK_INTERVAL_MS = 500;
const CHECK_ROUND_MS = 20_000;
const MAX_CHECKED_AT_ONCE = 2000;

/** A channel whose log was ahead of what had been announced at the last check. */
interface Behind {
  readonly name: string;
  readonly channel: WatchedChannel;
  /** What had been announced. */
  readonly known: Position;
  /** Where the log was. */
  readonly log: Position;
}

interface Position {
  readonly epoch: string;
  readonly offset: number;
}

export class PositionChecks {
  readonly #options: PositionChecksOptions;
  #place: Iterator<[string, WatchedChannel]> | undefined;
  #maybeBehind: Behind[] = [];

  constructor(options: PositionChecksOptions) {
    this.#options = options;
  }

  check(): void {
    const { watched } = this.#options;
    const behind = this.#maybeBehind.filter(
      ({ name, channel, known }) => watched.get(name) === channel && isSame(channel, known),
    );
    this.#maybeBehind = [];
    for (const { channel, log } of behind) {
      channel.epoch = log.epoch;
      channel.offset = log.offset;
    }
    if (behind.length > 0) void this.#renewSubscriptions(behind.map(({ name }) => name));
    // What cannot be compared now is compared in the next round.
    this.#compare(this.#nextSlice()).catch(() => undefined);
  }

  /** The bus did not bring what these logs have, for whatever reason. */
  async #renewSubscriptions(names: readonly string[]): Promise<void> {
    const { link, onWarning } = this.#options;
    onWarning(
      `announcements of ${names.length} channels did not arrive over the bus; they are subscribed again`,
    );
    await link.renewSubscriptions(names);
  }

  #nextSlice(): [string, WatchedChannel][] {
    const { watched } = this.#options;
    const rounds = CHECK_ROUND_MS / CHECK_INTERVAL_MS;
    const count = Math.min(MAX_CHECKED_AT_ONCE, Math.ceil(watched.size / rounds));
    const slice: [string, WatchedChannel][] = [];
    while (slice.length < count) {
      this.#place ??= watched.entries();
      const next = this.#place.next();
      if (next.done) {
        this.#place = undefined;
        break;
      }
      slice.push(next.value);
    }
    return slice;
  }

  async #compare(slice: readonly [string, WatchedChannel][]): Promise<void> {
    const { link, watched, channelRetentionMs } = this.#options;
    const names = slice.map(([name]) => name);
    const args = [String(channelRetentionMs)];
    await link.perSlot(names, async (indexes) => {
      const keys = indexes.map((i) => names[i] as string);
      const positions = (await link.call({ script: 'positions', keys, args })) as string[];
      indexes.forEach((index, i) => {
        const [name, channel] = slice[index] as [string, WatchedChannel];
        const log = parsePosition(positions[i] as string);
        if (watched.get(name) !== channel) return;
        if (log.epoch === channel.epoch && log.offset <= channel.offset) return;
        const known = { epoch: channel.epoch, offset: channel.offset };
        this.#maybeBehind.push({ name, channel, known, log });
      });
    });
  }
}

function isSame(a: Position, b: Position): boolean {
  return a.epoch === b.epoch && a.offset === b.offset;
}

/** Parses `epoch offset`; '' is the position of a channel without a log. */
function parsePosition(text: string): Position {
  const [epoch = '', offset = '0'] = text.split(' ');
  return { epoch, offset: Number(offset) };
}
