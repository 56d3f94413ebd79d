/** Gaps: how a stream is told, channel by channel, what can no longer be replayed to it. */
import { randomUUID } from 'node:crypto';
import type { ChannelGap, GapReason, Position } from '@message-push/protocol';
import type { LogState } from '../../core/engine.ts';
import type { Recovery } from '../../core/recovery.ts';
import type { StreamCounters } from '../../observe/metrics/counters.ts';
import { controlFrame } from '../wire/frame.ts';

/** The gap that `recovery` found between a stream's position and the log of `channel`. */
export function recoveryGap(
  channel: string,
  position: Position,
  { epoch, offset }: LogState,
  { reason, after, missed }: Extract<Recovery, { kind: 'gap' }>,
): ChannelGap {
  const available = after < offset ? { from: after + 1, to: offset } : null;
  return { channel, reason, last_seen: { ...position }, missed, available, epoch };
}

/** A cursor that does not belong to the stream's channels says nothing about any of them. */
export function foreignCursorGap({ name, epoch }: { name: string; epoch: string }): ChannelGap {
  return { channel: name, reason: 'invalid_cursor', last_seen: null, missed: null, available: null, epoch };
}

/** Messages for a connection alone are in no history: the slow reader of one has lost them. */
export function overflowGap(connectionId: string, missed: number): ChannelGap {
  const channel = `connection:${connectionId}`;
  return { channel, reason: 'overflow', last_seen: null, missed, available: null, epoch: null };
}

/** One event for all channels that have lost something. The client's cursor moves to `cursor`. */
export function gapFrame(channels: readonly ChannelGap[], cursor: string, timeMs: number): string {
  return controlFrame('gap', { messageId: randomUUID(), timeMs, data: { channels }, cursor });
}

export function countGap(counters: StreamCounters, reason: GapReason, missed: number): void {
  counters.gaps[reason]++;
  counters.missedPublications += missed;
}
