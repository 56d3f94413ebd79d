/** The wire types: the message that a subscriber receives and the control events of a stream. */

export const MESSAGE_TYPES = ['progress', 'status', 'error', 'success', 'warning', 'info', 'custom'] as const;
export type MessageType = (typeof MESSAGE_TYPES)[number];

export const PRIORITIES = ['low', 'normal', 'high', 'urgent'] as const;
export type Priority = (typeof PRIORITIES)[number];

/** How a publication is framed: a named event, an unnamed one (`onmessage`), or one of each. */
export const EVENT_MODES = ['named', 'message', 'both'] as const;
export type EventMode = (typeof EVENT_MODES)[number];

/** Names of events that a message must not have: the service or `EventSource` itself gives them a meaning. */
export const RESERVED_EVENT_NAMES = [
  'connection',
  'heartbeat',
  'gap',
  'expiring',
  'reconnect',
  'end',
  'open',
  'message',
] as const;

/** Reasons why part of a channel can no longer be replayed. */
export const GAP_REASONS = [
  /** History was trimmed by count, bytes or age before the stream read it. */
  'trimmed',
  /** The log began a new epoch: its past is lost. */
  'epoch_changed',
  /** The cursor is ahead of the log, which lost its newest entries. */
  'offset_in_future',
  /** The store lost acknowledged entries at a failover, or entries that this stream has seen. */
  'rolled_back',
  /** The cursor cannot be read, or belongs to another list of channels. */
  'invalid_cursor',
  /** A message for this connection alone did not fit: such messages have no history. */
  'overflow',
] as const;
export type GapReason = (typeof GAP_REASONS)[number];

/** One channel of a `gap` event. */
export interface ChannelGap {
  channel: string;
  reason: GapReason;
  /** The position of the stream, or null when it had no readable one. */
  last_seen: { offset: number; epoch: string } | null;
  /** The number of lost publications, or null when it is unknown. */
  missed: number | null;
  /** First and last offset of what is still available and follows this event; null when nothing is. */
  available: { from: number; to: number } | null;
  epoch: string | null;
}
