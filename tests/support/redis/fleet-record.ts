/** The record of a run over a fleet: all data that its judge needs. */
import type { ChannelGap } from '@message-push/protocol';

/** The n-th message has the number n; a publisher's messages on a channel were published in the order of n. */
export interface SentMessage {
  readonly publisher: number;
  /** Channels in the order of the target's fields. A stream shows the message on the first that it has joined. */
  readonly channels: readonly string[];
  /** Its place in the order of acknowledgements; `undefined` when it was not acknowledged. */
  acknowledgedAs: number | undefined;
}

/** A channel's history at the end. */
export interface ChannelLog {
  /** Numbers of messages in the order of offsets. */
  readonly messages: readonly number[];
  /** Offsets that are missing. */
  readonly holes: readonly number[];
}

/** A gap event. */
export interface ToldGap {
  readonly channels: readonly ChannelGap[];
  /** The number of acknowledged messages at its arrival. */
  readonly acknowledged: number;
}

export interface StreamRecord {
  readonly channels: readonly string[];
  /** What the stream received, in order: the number of a message, or -1 - i for the i-th gap event. */
  readonly told: readonly number[];
  readonly gaps: readonly ToldGap[];
}

export interface FleetRecord {
  readonly sent: readonly SentMessage[];
  readonly logs: ReadonlyMap<string, ChannelLog>;
  readonly streams: readonly StreamRecord[];
}

/** The channel on which a stream with `channels` shows a message that was sent to `sentTo`. */
export function showingChannel(sentTo: readonly string[], channels: readonly string[]): string | undefined {
  return sentTo.find((channel) => channels.includes(channel));
}
