/**
 * Sizes fleets of 10 thousand to 10 million streams from results: the arithmetic of docs/production/capacity.md,
 * printed with its input figures, so that the page can be updated from new results.
 */
import { formatNumber, formatTable } from './report.ts';
import { medianOf, type Result } from './results.ts';

/** Measured costs of one node and one Redis: µs of one core, and bytes. */
export interface Figures {
  /** Node: a message by POST and its delivery to one stream. */
  readonly nodePublishUs: number;
  /** Node: delivery of a broadcast to one stream. */
  readonly nodeDeliveryUs: number;
  readonly nodeConnectUs: number;
  readonly streamBytes: number;
  readonly nodeBytes: number;
  /** Redis: a message from one of several nodes, most of them alone in their call. */
  readonly redisPublishUs: number;
  readonly redisForgetUs: number;
  readonly redisConnectUs: number;
  /** Redis: a broadcast, for each node. */
  readonly redisBroadcastUs: number;
  /** Redis, for each node at rest, µs per second. */
  readonly redisRestUs: number;
  readonly channelBytes: number;
  readonly watchBytes: number;
  readonly messageBytes: number;
  readonly idBytes: number;
}

/** Ids expire in windows of time, so some are kept for up to this many times their TTL. */
const IDS_KEPT = 2;

/** Assumed behaviour of each stream, and the resources that the operator grants. */
export const ASSUMED = {
  messagesPerHour: 60,
  historyHours: 1,
  idSeconds: 300,
  broadcastsPerMinute: 1,
  /** Time within which all streams reconnect after an outage. */
  reconnectSeconds: 300,
  streamsPerNode: 20_000,
  /** Average share of a core that may be used; the rest is for peaks. */
  busyShare: 0.5,
  shardBytes: 16 * 2 ** 30,
  /** Messages that fit into the memory of a channel with one message. */
  messagesIncluded: 10,
} as const;

export interface Fleet {
  readonly publishesPerSecond: number;
  readonly nodeCores: number;
  readonly nodesForCpu: number;
  readonly nodesForStreams: number;
  readonly nodes: number;
  readonly nodeBytes: number;
  readonly redisCores: number;
  readonly redisBytes: number;
  readonly shardsForCpu: number;
  readonly shardsForMemory: number;
  readonly shards: number;
  /** Share of one core of each node, and of each shard, while all streams reconnect. */
  readonly nodeReconnectShare: number;
  readonly shardReconnectShare: number;
}

export function sizeFleet(figures: Figures, streams: number): Fleet {
  const a = ASSUMED;
  const publishesPerSecond = (streams * a.messagesPerHour) / 3600;
  const broadcastsPerSecond = a.broadcastsPerMinute / 60;
  const nodeCores =
    (publishesPerSecond * figures.nodePublishUs + broadcastsPerSecond * streams * figures.nodeDeliveryUs) /
    1e6;
  const nodesForCpu = Math.ceil(nodeCores / a.busyShare);
  const nodesForStreams = Math.ceil(streams / a.streamsPerNode);
  const nodes = Math.max(nodesForCpu, nodesForStreams);
  const redisCores =
    (publishesPerSecond * (figures.redisPublishUs + figures.redisForgetUs) +
      nodes * figures.redisRestUs +
      broadcastsPerSecond * nodes * figures.redisBroadcastUs) /
    1e6;
  const kept = a.messagesPerHour * a.historyHours;
  const channelBytes =
    figures.channelBytes + figures.watchBytes + Math.max(0, kept - a.messagesIncluded) * figures.messageBytes;
  const redisBytes = streams * channelBytes + publishesPerSecond * a.idSeconds * IDS_KEPT * figures.idBytes;
  const shardsForCpu = Math.ceil(redisCores / a.busyShare);
  const shardsForMemory = Math.ceil(redisBytes / a.shardBytes);
  const shards = Math.max(shardsForCpu, shardsForMemory);
  const connectsPerSecond = streams / a.reconnectSeconds;
  return {
    publishesPerSecond,
    nodeCores,
    nodesForCpu,
    nodesForStreams,
    nodes,
    nodeBytes: figures.nodeBytes + (streams / nodes) * figures.streamBytes,
    redisCores,
    redisBytes,
    shardsForCpu,
    shardsForMemory,
    shards,
    nodeReconnectShare: (connectsPerSecond * figures.nodeConnectUs) / 1e6 / nodes,
    shardReconnectShare: (connectsPerSecond * figures.redisConnectUs) / 1e6 / shards,
  };
}

/** Throws when a result is missing. */
function readFigures(results: ReadonlyMap<string, Result>): Figures {
  const read = (scenario: string, contender: string, key: string): number => {
    const result = results.get(scenario);
    const value = result === undefined ? undefined : medianOf(result, contender, key);
    if (value === undefined) throw new Error(`no result has ${key} of ${contender} in ${scenario}`);
    return value;
  };
  return {
    nodePublishUs: read('redis-nodes', 'ours', 'nodesUs'),
    nodeDeliveryUs: read('redis-nodes', 'ours', 'broadcastNodesUs'),
    nodeConnectUs: read('redis-nodes', 'ours', 'connectNodesUs'),
    streamBytes: read('redis-nodes', 'one', 'rssBytesPerStream'),
    nodeBytes: read('redis-nodes', 'one', 'rssMb') * 2 ** 20,
    redisPublishUs: read('redis-nodes', 'ours', 'redisUs'),
    redisForgetUs: read('redis-publish', 'ours', 'redisUsForget'),
    redisConnectUs: read('redis-nodes', 'ours', 'connectRedisUs'),
    redisBroadcastUs: read('redis-fleet', 'n100', 'broadcastRedisUsPerNode'),
    redisRestUs: read('redis-fleet', 'n100', 'restRedisMs') * 1000,
    channelBytes: read('redis-memory', 'c100000', 'oneBytes'),
    watchBytes: read('redis-memory', 'c100000', 'watchBytes'),
    messageBytes: read('redis-memory', 'c1000', 'messageBytes'),
    idBytes: read('redis-memory', 'c100000', 'idBytes'),
  };
}

const SIZES = [10_000, 100_000, 1_000_000, 10_000_000] as const;
const GB = 2 ** 30;
const MB = 2 ** 20;

export function capacityTables(results: ReadonlyMap<string, Result>): string {
  const figures = readFigures(results);
  const fleets = SIZES.map((streams) => sizeFleet(figures, streams));
  const row = (label: string, digits: number, pick: (fleet: Fleet) => number) => [
    label,
    ...fleets.map((fleet) => formatNumber(pick(fleet), digits)),
  ];
  const measured = Object.entries(figures).map(([name, value]) => [name, formatNumber(value, 1)]);
  return [
    formatTable([['figure', 'median'], ...measured]),
    '',
    formatTable([
      ['assumed', ''],
      ...Object.entries(ASSUMED).map(([name, value]) => [name, formatNumber(value, 1)]),
    ]),
    '',
    formatTable([
      ['streams', ...SIZES.map((streams) => formatNumber(streams, 0))],
      row('publishes a second', 0, (f) => f.publishesPerSecond),
      row('cores of all nodes', 2, (f) => f.nodeCores),
      row('nodes for CPU', 0, (f) => f.nodesForCpu),
      row('nodes for streams', 0, (f) => f.nodesForStreams),
      row('nodes', 0, (f) => f.nodes),
      row('memory of a node, MB', 0, (f) => f.nodeBytes / MB),
      row('cores of Redis', 2, (f) => f.redisCores),
      row('memory of Redis, GB', 1, (f) => f.redisBytes / GB),
      row('shards for CPU', 0, (f) => f.shardsForCpu),
      row('shards for memory', 0, (f) => f.shardsForMemory),
      row('shards', 0, (f) => f.shards),
      row('reconnect: share of a core, node', 2, (f) => f.nodeReconnectShare),
      row('reconnect: share of a core, shard', 2, (f) => f.shardReconnectShare),
    ]),
  ].join('\n');
}
