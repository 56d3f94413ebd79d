/** The streams of a fleet's test: each writes down what it is told, and may reconnect to any node. */
import type { ChannelGap } from '@message-push/protocol';
import type { Random } from '../random.ts';
import type { TestServer } from '../server.ts';
import { StreamClient } from '../stream-client.ts';
import type { StreamRecord } from './fleet-record.ts';

export interface FleetStream extends StreamRecord {
  readonly client: StreamClient;
  /** Numbers of the markers that it was told. */
  readonly markers: ReadonlySet<number>;
}

/** `channels` must be reachable by `?channels=`. */
export function openFleetStream(
  nodes: readonly TestServer[],
  channels: readonly string[],
  random: Random,
): FleetStream {
  const told: number[] = [];
  const gaps: ChannelGap[][] = [];
  const markers = new Set<number>();
  const client = new StreamClient({
    // Read at every connect: the balancer in front of a fleet promises no node.
    get port() {
      return random.pick(nodes).port;
    },
    path: `/sse/stream?channels=${channels.join(',')}`,
    maxRetryMs: random.between(10, 200),
    onEvent: (type, data) => {
      if (type === 'gap') {
        gaps.push((JSON.parse(data) as { data: { channels: ChannelGap[] } }).data.channels);
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
