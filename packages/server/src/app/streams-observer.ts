/** What streams write to the log and the metrics. */

import type { Log } from '../observe/log/log.ts';
import { STREAM_REFUSALS } from '../observe/metrics/counters.ts';
import type { Metrics } from '../observe/metrics/metrics.ts';
import type { StreamsObserver } from '../sse/streams.ts';

export function streamsObserver(log: Log, { streams }: Metrics): StreamsObserver {
  const refusals: ReadonlySet<string> = new Set(STREAM_REFUSALS);
  return {
    opened: ({ connectionId, userId, clientIp }, { channels, cursor }) => {
      streams.opened++;
      log.info({ connectionId, userId, clientIp, channels, resumes: cursor !== undefined }, 'stream opened');
    },
    closed: ({ connectionId, userId, connectedAtMs }, reason) => {
      streams.closed[reason]++;
      const seconds = Math.round((Date.now() - connectedAtMs) / 1000);
      log.info({ connectionId, userId, reason, seconds }, 'stream closed');
    },
    refused: (reason, { userId, clientIp }, cause) => {
      if (refusals.has(reason)) streams.refused[reason as keyof typeof streams.refused]++;
      log.warn({ reason, userId, clientIp, ...(cause !== undefined && { err: cause }) }, 'stream refused');
    },
    failed: ({ connectionId }, error) =>
      log.error({ connectionId, err: error }, 'delivering to the stream failed'),
  };
}
