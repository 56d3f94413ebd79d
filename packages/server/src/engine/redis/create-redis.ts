/** Wires the redis engine and the fleet of nodes on one link. */
import type { LocalDirectory } from '../../core/directory.ts';
import { Fleet } from './fleet/fleet.ts';
import { RedisLink, type RedisLinkObserver } from './link/redis-link.ts';
import type { RedisSettings } from './link/redis-settings.ts';
import type { StartExpectations } from './link/start-checks.ts';
import { ChannelList } from './log/channel-list.ts';
import { HistoryReader } from './log/history-reader.ts';
import type { LogBounds } from './log/log-bounds.ts';
import { newEpoch } from './log/new-epoch.ts';
import { Keys } from './names/keys.ts';
import { Claims } from './publish/claims.ts';
import { PublishQueue } from './publish/publish-queue.ts';
import { PublishSender } from './publish/publish-sender.ts';
import { RedisEngine } from './redis-engine.ts';
import { Announcer } from './watch/announcer.ts';
import { LossReports } from './watch/loss-reports.ts';
import { NodeChannels } from './watch/node-channels.ts';
import { PositionChecks } from './watch/position-checks.ts';
import { WatchedChannels } from './watch/watched-channels.ts';

export interface RedisOptions {
  readonly settings: RedisSettings;
  readonly expectations: StartExpectations;
  /** Eight hexadecimal digits, different for every node. */
  readonly nodeId: string;
  readonly bounds: LogBounds;
  readonly publishing: PublishingOptions;
  readonly streams: StreamsOptions;
  readonly now: () => number;
  readonly random: () => number;
  readonly observer?: RedisObserver;
}

export interface PublishingOptions {
  readonly idempotencyTtlMs: number;
  readonly maxQueueBytes: number;
  readonly groupCommit: boolean;
}

export interface StreamsOptions {
  /** This node's streams; asked for when they are needed, because streams are made with the engine. */
  readonly local: () => LocalDirectory;
  /** 0 for no limit. */
  readonly maxConnectionsPerUser: number;
}

export interface RedisObserver extends RedisLinkObserver {
  /** A call that published was answered. */
  committed(publications: number, seconds: number): void;
  /** Acknowledged messages of a channel are missing after a failover. */
  lost(channel: string): void;
}

/** What every folder of the engine is made with. */
interface Ground {
  readonly options: RedisOptions;
  readonly keys: Keys;
  readonly link: RedisLink;
}

export function createRedis(options: RedisOptions): { readonly engine: RedisEngine; readonly fleet: Fleet } {
  const { settings, nodeId, bounds, publishing, streams, now, random, observer } = options;
  const { maxMessagesPerChannel, channelRetentionMs } = bounds;
  const keys = new Keys(settings.keyPrefix, settings.database);
  const link = new RedisLink({
    settings,
    expectations: options.expectations,
    nodeId,
    probeName: (tag) => keys.probeBus(nodeId, tag),
    random,
    observer,
  });
  const lossReports = createLossReports({ options, keys, link });
  const fleet = new Fleet({ link, keys, nodeId, ...streams });
  link.onServerReady((shard) => lossReports.serverReady(shard));
  link.onServerReady((shard) => fleet.serverReady(shard));
  const history = new HistoryReader({ link, keys, maxMessagesPerChannel, now, random });
  const announcer = new Announcer();
  const watched = new WatchedChannels({ link, keys, history, announcer });
  const engine = new RedisEngine({
    mode: settings.mode,
    nodeId,
    maxQueueBytes: publishing.maxQueueBytes,
    link,
    history,
    channelList: new ChannelList({ link, keys, maxMessagesPerChannel }),
    claims: new Claims({ link, keys, idempotencyTtlMs: publishing.idempotencyTtlMs }),
    queue: createQueue({ options, keys, link }, lossReports),
    announcer,
    nodeChannels: new NodeChannels({
      link,
      keys,
      nodeId,
      announcer,
      onLetter: (letter) => fleet.receive(letter),
    }),
    watched,
    positionChecks: new PositionChecks({
      link,
      watched,
      channelRetentionMs,
      onWarning: (message) => observer?.warned(message),
    }),
    lossReports,
  });
  return { engine, fleet };
}

function createLossReports({ options, keys, link }: Ground): LossReports {
  const { bounds, now, random, observer } = options;
  return new LossReports({
    link,
    keys,
    channelRetentionMs: bounds.channelRetentionMs,
    now,
    newEpoch: () => newEpoch(random),
    onLost: (channel) => observer?.lost(channel),
  });
}

function createQueue({ options, keys, link }: Ground, lossReports: LossReports): PublishQueue {
  const { settings, bounds, publishing, random, observer } = options;
  const timeoutMs = settings.socketTimeoutMs;
  const sender = new PublishSender({
    link,
    keys,
    bounds,
    idempotencyTtlMs: publishing.idempotencyTtlMs,
    ackReplicas: settings.ackReplicas,
    timeoutMs,
    newEpoch: () => newEpoch(random),
    onStored: (runId, channel, epoch, offset) => lossReports.noteStored(runId, channel, epoch, offset),
    onCommitted: (publications, seconds) => observer?.committed(publications, seconds),
  });
  return new PublishQueue({
    keys,
    slotOf: (key) => link.slotOf(key),
    sender,
    timeoutMs,
    groupCommit: publishing.groupCommit,
  });
}
