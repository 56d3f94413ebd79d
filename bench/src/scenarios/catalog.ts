import { broadcast } from './broadcast.ts';
import { idle } from './idle.ts';
import { reconnectStorm } from './reconnect-storm.ts';
import { redisFleet } from './redis-fleet.ts';
import { redisLatency } from './redis-latency.ts';
import { redisMemory } from './redis-memory.ts';
import { redisNodes } from './redis-nodes.ts';
import { redisPublish } from './redis-publish.ts';
import type { Scenario } from './scenario.ts';
import { slowReaders } from './slow-readers.ts';
import { unicast } from './unicast.ts';

export const SCENARIOS: readonly Scenario[] = [
  broadcast,
  unicast,
  idle,
  reconnectStorm,
  slowReaders,
  redisPublish,
  redisLatency,
  redisNodes,
  redisFleet,
  redisMemory,
];
