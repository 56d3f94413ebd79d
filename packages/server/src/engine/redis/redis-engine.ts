/**
 * The redis engine: many nodes on one Redis, standalone, Sentinel or Cluster. Redis orders and keeps messages; its bus
 * only wakes nodes up. This file is the port; the folders beside it do the work.
 */
import type { Position } from '@message-push/protocol';
import type {
  ChannelSummary,
  Engine,
  EngineHealth,
  EngineListener,
  HistoryPage,
  HistoryRange,
  LogState,
  ReadFrom,
  Start,
} from '../../core/engine.ts';
import type { RequestError } from '../../core/errors.ts';
import type { Draft, Publication, Receipt } from '../../core/message.ts';
import { engineClosed, engineOverloaded, idConflict } from '../refusals.ts';
import type { RedisLink } from './link/redis-link.ts';
import type { RedisSettings } from './link/redis-settings.ts';
import type { ChannelList } from './log/channel-list.ts';
import type { HistoryReader } from './log/history-reader.ts';
import { newConnectionId } from './names/connection-id.ts';
import type { Claims } from './publish/claims.ts';
import type { PublishQueue } from './publish/publish-queue.ts';
import { receiptOf } from './publish/receipt.ts';
import type { Announcer } from './watch/announcer.ts';
import type { LossReports } from './watch/loss-reports.ts';
import type { NodeChannels } from './watch/node-channels.ts';
import { CHECK_INTERVAL_MS, type PositionChecks } from './watch/position-checks.ts';
import type { WatchedChannels } from './watch/watched-channels.ts';

/** Wired by `create-redis.ts`. */
export interface RedisEngineParts {
  readonly mode: RedisSettings['mode'];
  readonly nodeId: string;
  readonly maxQueueBytes: number;
  readonly link: RedisLink;
  readonly history: HistoryReader;
  readonly channelList: ChannelList;
  readonly claims: Claims;
  readonly queue: PublishQueue;
  readonly announcer: Announcer;
  readonly nodeChannels: NodeChannels;
  readonly watched: WatchedChannels;
  readonly positionChecks: PositionChecks;
  readonly lossReports: LossReports;
}

/** Lag of the bus above which deliveries are late and the node should get no new streams. */
const BUS_LATE_MS = 2000;
/** Lag above which the node is of no use to streams. */
const BUS_LOST_MS = 5000;

export class RedisEngine implements Engine {
  readonly kind = 'redis';
  readonly #parts: RedisEngineParts;
  #checkTimer: NodeJS.Timeout | undefined;
  #isOpen = false;
  #isClosed = false;

  constructor(parts: RedisEngineParts) {
    this.#parts = parts;
  }

  async open(listener: EngineListener): Promise<void> {
    const { link, announcer, nodeChannels, lossReports, positionChecks } = this.#parts;
    announcer.open(listener);
    await link.open();
    await nodeChannels.open();
    this.#isOpen = true;
    this.#checkTimer = setInterval(() => {
      lossReports.check();
      positionChecks.check();
    }, CHECK_INTERVAL_MS);
    this.#checkTimer.unref();
  }

  newConnectionId(): string {
    return newConnectionId(this.#parts.nodeId);
  }

  async publish(draft: Draft): Promise<Receipt> {
    const problem = this.#refusal(draft);
    if (problem !== undefined) throw problem;
    const { queue, claims } = this.#parts;
    const results = await queue.add(draft, claims.take(draft));
    if (results.some(({ outcome }) => outcome === 'conflict')) throw idConflict(draft.message.id);
    return receiptOf(draft, results);
  }

  #refusal({ message }: Draft): RequestError | undefined {
    if (!this.#isOpen || this.#isClosed) return engineClosed();
    const { queue, maxQueueBytes } = this.#parts;
    if (queue.bytes > 0 && queue.bytes + message.json.length > maxQueueBytes) {
      return engineOverloaded(queue.bytes, maxQueueBytes);
    }
    return undefined;
  }

  watch(channels: readonly string[]): Promise<readonly LogState[]> {
    return this.#parts.watched.watch(channels);
  }

  unwatch(channels: readonly string[]): void {
    this.#parts.watched.unwatch(channels);
  }

  states(channels: readonly string[]): Promise<readonly LogState[]> {
    return this.#parts.history.states(channels);
  }

  locate(channel: string, start: Start): Promise<Position> {
    return this.#parts.history.locate(channel, start);
  }

  read(from: readonly ReadFrom[], maxBytes: number): Promise<HistoryPage> {
    return this.#parts.history.read(from, maxBytes);
  }

  range(
    channel: string,
    range: HistoryRange,
  ): Promise<{ state: LogState; publications: readonly Publication[] }> {
    return this.#parts.history.range(channel, range);
  }

  channels(query: { prefix: string; after: string; limit: number }): Promise<{
    total: number;
    channels: readonly ChannelSummary[];
  }> {
    return this.#parts.channelList.page(query);
  }

  health(): EngineHealth {
    const { mode, link, watched, queue, lossReports } = this.#parts;
    const { shards } = link;
    const ready = shards.filter((shard) => shard.isReady);
    const subscribed = ready.filter((shard) => shard.listener.isConnected);
    const lags = ready.flatMap(({ busLagMs }) => (busLagMs === undefined ? [] : [busLagMs]));
    const lagMs = lags.length === 0 ? null : Math.round(Math.max(...lags) * 10) / 10;
    const details = {
      mode,
      servers: shards.length,
      servers_ready: ready.length,
      servers_heard: subscribed.length,
      bus_lag_ms: lagMs,
      bus_reconnects: shards.reduce((sum, { listener }) => sum + listener.losses, 0),
      watched_channels: watched.size,
      queue_bytes: queue.bytes,
      queue_messages: queue.messages,
      losses_announced: lossReports.losses,
      clock_skew_ms: Math.round(Math.max(0, ...shards.map(({ clock }) => Math.abs(clock.offsetMs)))),
      redis_version: ready[0]?.facts?.version ?? null,
    };
    if (!this.#isOpen) return { status: 'unhealthy', reason: 'the engine is not open', details };
    const unreachable = shards.find((shard) => !shard.isReady);
    if (ready.length === 0) {
      const reason = unreachable?.lastError?.message ?? 'no server is known';
      return { status: 'unhealthy', reason: `Redis is unreachable: ${reason}`, details };
    }
    if ((lagMs ?? 0) > BUS_LOST_MS) {
      return { status: 'unhealthy', reason: `no probe has come back over the bus for ${lagMs} ms`, details };
    }
    if (unreachable !== undefined) {
      return {
        status: 'degraded',
        reason: unreachable.lastError?.message ?? `Redis ${unreachable.label} is unreachable`,
        details,
      };
    }
    if (subscribed.length < ready.length || (lagMs ?? 0) > BUS_LATE_MS) {
      return {
        status: 'degraded',
        reason: 'the bus is late, or not subscribed at every server: deliveries are late',
        details,
      };
    }
    return { status: 'healthy', reason: undefined, details };
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const { link, queue } = this.#parts;
    clearInterval(this.#checkTimer);
    link.beginClosing();
    await queue.settled();
    link.close();
  }
}
