/** What is written down of a run over a fleet: everything that its judge needs, and nothing that runs. */
import type { ChannelGap } from '@message-push/protocol';

/** The n-th message has the number n; a publisher's messages on a channel were published in the order of n. */
export interface SentMessage {
  readonly publisher: number;
  /** In the order of the target's fields. A stream shows it as a message of the first of them that it has joined. */
  readonly channels: readonly string[];
  isAcknowledged: boolean;
}

/** A channel's history at the end. */
export interface ChannelLog {
  /** Numbers of messages, by offset. */
  readonly messages: readonly number[];
  /** Offsets that are missing. */
  readonly holes: readonly number[];
}

export interface StreamRecord {
  readonly channels: readonly string[];
  /** In order: the number of a message that was shown, or -1 - i for the i-th gap event. */
  readonly told: readonly number[];
  /** Per gap event, its channels. */
  readonly gaps: readonly (readonly ChannelGap[])[];
}

export interface FleetRecord {
  readonly sent: readonly SentMessage[];
  readonly logs: ReadonlyMap<string, ChannelLog>;
  readonly streams: readonly StreamRecord[];
}

/** The channel as whose message a stream with `channels` shows one that was sent to `sentTo`. */
export function showingChannel(sentTo: readonly string[], channels: readonly string[]): string | undefined {
  return sentTo.find((channel) => channels.includes(channel));
}
