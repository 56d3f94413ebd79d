/**
 * The streams of a run over a fleet: each records what it receives, reconnects to any node, is cut at any byte, and
 * sometimes stays away for a while.
 */
import type { ChannelGap } from '@message-push/protocol';
import type { Random } from '../random.ts';
import { StreamClient } from '../streams/stream-client.ts';
import { waitFor, waitWhileMoving } from '../wait.ts';
import type { FleetMessages } from './fleet-messages.ts';
import type { StreamRecord, ToldGap } from './fleet-record.ts';

export interface FleetStream extends StreamRecord {
  readonly client: StreamClient;
  /** Numbers of the markers that it received. */
  readonly markers: ReadonlySet<number>;
}

/** The address that streams and publishers use: a node, or a balancer in front of all. */
export interface Entrance {
  readonly port: number;
  readonly url: string;
}

export interface FleetStreamsOptions {
  readonly count: number;
  readonly entrances: readonly Entrance[];
  readonly isPatient: boolean;
  readonly messages: FleetMessages;
  readonly random: Random;
}

const MAX_CHANNELS = 2;
/** Loopback addresses that streams connect from, because a proxy may limit connections per address. */
const ADDRESSES = 16;
const CUTS_PER_BATCH = 2;
const MAX_BYTES_UNTIL_CUT = 20_000;
/** The share of cut streams that stay away. */
const HOLD_OFF_SHARE = 0.1;
const MAX_BATCHES_AWAY = 40;
const STILL_MS = 15_000;

export class FleetStreams {
  readonly list: readonly FleetStream[];
  #cuts = 0;
  #batches = 0;
  /** Streams that are away, and until which batch. */
  readonly #away = new Map<FleetStream, number>();

  constructor(options: FleetStreamsOptions) {
    const { count, messages, random } = options;
    this.list = Array.from({ length: count }, (_, i) =>
      openStream(options, random.sample(messages.channels, random.between(1, MAX_CHANNELS)), i),
    );
  }

  async opened(): Promise<void> {
    await waitFor('all streams', () => this.list.every((s) => s.client.lastEventId !== ''), {
      timeoutMs: 30_000,
      describe: () => this.describe(),
    });
  }

  /** Cuts some streams; called after every batch. */
  disturb(random: Random): void {
    this.#batches++;
    for (const [stream, until] of this.#away) {
      if (this.#batches < until) continue;
      this.#away.delete(stream);
      stream.client.comeBack();
    }
    for (let i = 0; i < CUTS_PER_BATCH; i++, this.#cuts++) {
      const stream = random.pick(this.list);
      if (this.#away.has(stream)) continue;
      if (random.next() < HOLD_OFF_SHARE) {
        this.#away.set(stream, this.#batches + random.between(1, MAX_BATCHES_AWAY));
        stream.client.holdOff();
      } else stream.client.cutAfter(random.between(0, MAX_BYTES_UNTIL_CUT));
    }
  }

  bringBack(): void {
    for (const { client } of this.#away.keys()) client.comeBack();
    this.#away.clear();
  }

  /** True when all streams receive the markers of their channels, false when progress stops before. */
  async areTold(markers: ReadonlyMap<string, number>): Promise<boolean> {
    const isBehind = ({ channels, markers: told }: FleetStream): boolean =>
      channels.some((channel) => !told.has(markers.get(channel) ?? -1));
    try {
      await waitWhileMoving(
        'the last messages',
        () => !this.list.some(isBehind),
        () => this.list.reduce((sum, s) => sum + s.told.length, 0),
        { stillMs: STILL_MS },
      );
      return true;
    } catch (error) {
      const behind = this.list.filter(isBehind);
      const { channels = [], client } = behind[0] ?? {};
      const state = client && `open ${client.isOpen}, status ${client.status}, id ${client.lastEventId}`;
      console.log(
        `${(error as Error).message}: ${behind.length} are behind, one of ${channels.join(', ')}: ${state}`,
      );
      return false;
    }
  }

  describe(): string {
    return (
      `${this.#cuts} cuts, ${this.list.reduce((sum, s) => sum + s.client.opens - 1, 0)} reconnects, ` +
      `${this.list.filter((s) => s.client.isFailed).length} streams failed`
    );
  }

  close(): void {
    for (const { client } of this.list) client.close();
  }
}

/** Every one of `channels` can be named in `?channels=`. */
function openStream(
  { entrances, isPatient, messages, random }: FleetStreamsOptions,
  channels: readonly string[],
  index: number,
): FleetStream {
  const told: number[] = [];
  const gaps: ToldGap[] = [];
  const markers = new Set<number>();
  const client = new StreamClient({
    // Read at every connect, because a stream may come to any node of the fleet.
    get port() {
      return random.pick(entrances).port;
    },
    path: `/sse/stream?channels=${channels.join(',')}`,
    maxRetryMs: isPatient ? Number.POSITIVE_INFINITY : random.between(10, 200),
    ...(isPatient && { localAddress: `127.0.1.${1 + (index % ADDRESSES)}` }),
    onEvent: (type, data) => {
      if (type === 'gap') {
        const gap = JSON.parse(data) as { data: { channels: ChannelGap[] } };
        gaps.push({ channels: gap.data.channels, acknowledged: messages.acknowledged });
        told.push(-gaps.length);
      } else if (type === 'progress' || type === 'custom') {
        const n = Number(/"id":"m(\d+)"/.exec(data)?.[1]);
        told.push(n);
        if (type === 'custom') markers.add(n);
      }
    },
  });
  return { channels, told, gaps, markers, client };
}
