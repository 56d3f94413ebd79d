/**
 * Reports what a failover lost: tells the logs of a new server run how far this node has acknowledged on the run
 * before. A log that does not reach as far begins a new epoch, and every stream of its channel gets a gap.
 */
import type { RedisLink } from '../link/redis-link.ts';
import type { Keys } from '../names/keys.ts';
import type { Shard } from '../server/shard.ts';
import { type Acknowledged, AcknowledgedPositions } from './acknowledged.ts';

export interface LossReportsOptions {
  readonly link: RedisLink;
  readonly keys: Keys;
  readonly channelRetentionMs: number;
  readonly now: () => number;
  readonly newEpoch: () => string;
  /** Acknowledged messages of a channel are missing. */
  readonly onLost: (channel: string) => void;
}

const REPORTS_AT_ONCE = 200;

export class LossReports {
  readonly #options: LossReportsOptions;
  readonly #acknowledged = new AcknowledgedPositions();
  /** Servers that have not been told everything yet. */
  readonly #unreported = new Set<Shard>();
  readonly #reporting = new Set<Shard>();
  #losses = 0;

  constructor(options: LossReportsOptions) {
    this.#options = options;
  }

  /** Losses that this node has reported. */
  get losses(): number {
    return this.#losses;
  }

  /** Remembers a position before its publisher is acknowledged. */
  noteStored(runId: string, channel: string, epoch: string, offset: number): void {
    this.#acknowledged.note(runId, channel, epoch, offset);
  }

  /** Called whenever a server can be called: it may be another run. */
  serverReady(shard: Shard): void {
    this.#unreported.add(shard);
    void this.#report(shard);
  }

  /** Called from time to time: reports again what could not be reported. */
  check(): void {
    const { link, now } = this.#options;
    this.#acknowledged.sweep(now());
    for (const shard of this.#unreported) {
      if (!link.shards.includes(shard)) this.#unreported.delete(shard);
      else if (shard.isReady) void this.#report(shard);
    }
  }

  async #report(shard: Shard): Promise<void> {
    if (this.#reporting.has(shard)) return;
    this.#reporting.add(shard);
    const { link, keys } = this.#options;
    const { runId } = shard;
    const isOnShard = (channel: string): boolean => link.ownerOf(link.slotOf(keys.log(channel))) === shard;
    const positions = this.#acknowledged.ofOtherRuns(runId, isOnShard);
    try {
      for (let i = 0; i < positions.length; i += REPORTS_AT_ONCE) {
        const some = positions.slice(i, i + REPORTS_AT_ONCE);
        await Promise.all(some.map((position) => this.#reportOne(shard, position)));
      }
      if (shard.runId === runId) this.#unreported.delete(shard);
    } catch {
      // It stays unreported, and is reported again at the next check.
    } finally {
      this.#reporting.delete(shard);
    }
  }

  async #reportOne({ runId, publishCommand }: Shard, position: Acknowledged): Promise<void> {
    const { link, keys, channelRetentionMs, newEpoch, onLost } = this.#options;
    const { channel, epoch, offset } = position;
    const args = [runId, epoch, String(offset), newEpoch(), publishCommand, String(channelRetentionMs)];
    const isLost = await link.call({ script: 'reportLoss', keys: [keys.log(channel)], args });
    this.#acknowledged.forget(position);
    if (Number(isLost) !== 1) return;
    this.#losses++;
    onLost(channel);
  }
}
