/** The last event of a stream: why it ends, and whether the client should come back. */
import { randomUUID } from 'node:crypto';
import { STREAM_ENDS, type StreamEnd } from '../../core/stream-ends.ts';
import { controlFrame } from './frame.ts';

/** Empty when no farewell can reach the peer. */
export function farewellFrame(reason: StreamEnd, retryMs: number, timeMs: number): string {
  const name = STREAM_ENDS[reason].farewell;
  if (name === undefined) return '';
  const messageId = randomUUID();
  return name === 'end'
    ? controlFrame(name, { messageId, timeMs, data: { reason } })
    : controlFrame(name, { messageId, timeMs, retryMs, data: { reason, retry_ms: retryMs } });
}
