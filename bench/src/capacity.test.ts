import { describe, expect, it } from 'vitest';
import { ASSUMED, type Figures, sizeFleet } from './capacity.ts';

const FIGURES: Figures = {
  nodePublishUs: 200,
  nodeDeliveryUs: 5,
  nodeConnectUs: 300,
  streamBytes: 10_000,
  nodeBytes: 200_000_000,
  redisPublishUs: 50,
  redisForgetUs: 10,
  redisConnectUs: 60,
  redisBroadcastUs: 10,
  redisRestUs: 500,
  channelBytes: 4600,
  watchBytes: 400,
  messageBytes: 400,
  idBytes: 250,
};

describe('the size of a fleet', () => {
  it('has as many nodes as streams or CPU ask for, whichever is more', () => {
    const small = sizeFleet(FIGURES, 100_000);
    expect(small.nodesForStreams).toBe(5);
    // 1,667 publishes at 200 µs and 1,667 deliveries of broadcasts at 5 µs, each second: 0.34 cores.
    expect(small.nodeCores).toBeCloseTo(0.342, 3);
    expect(small.nodes).toBe(5);
    const busy = sizeFleet({ ...FIGURES, nodePublishUs: 3000 }, 100_000);
    expect(busy.nodes).toBe(busy.nodesForCpu);
    expect(busy.nodesForCpu).toBe(11);
  });

  it('has as many shards as memory or CPU ask for, whichever is more', () => {
    const fleet = sizeFleet(FIGURES, 1_000_000);
    // 16,667 publishes at 60 µs, 50 nodes at rest, and a broadcast a minute to all of them.
    expect(fleet.redisCores).toBeCloseTo(1 + 0.025, 2);
    expect(fleet.shardsForCpu).toBe(3);
    // An id with a TTL of 300 s is kept for up to twice as long.
    const perStream = 4600 + 400 + (60 - ASSUMED.messagesIncluded) * 400 + (600 / 60) * 250;
    expect(fleet.redisBytes).toBeCloseTo(1_000_000 * perStream, -3);
    expect(fleet.shardsForMemory).toBe(2);
    expect(fleet.shards).toBe(3);
  });
});
