/** What is written down of a run over a fleet: everything that its judge needs, and nothing that runs. */
import type { ChannelGap } from '@message-push/protocol';

/** The n-th message has the number n; a publisher's messages on a channel were published in the order of n. */
export interface SentMessage {
  readonly publisher: number;
  /** In the order of the target's fields. A stream shows it as a message of the first of them that it has joined. */
  readonly channels: readonly string[];
  /** It was the so-manieth message to be acknowledged; undefined: it was not. */
  acknowledgedAs: number | undefined;
}

/** A channel's history at the end. */
export interface ChannelLog {
  /** Numbers of messages, by offset. */
  readonly messages: readonly number[];
  /** Offsets that are missing. */
  readonly holes: readonly number[];
}

/** A gap event. */
export interface ToldGap {
  readonly channels: readonly ChannelGap[];
  /** How many messages had been acknowledged when it came. */
  readonly acknowledged: number;
}

export interface StreamRecord {
  readonly channels: readonly string[];
  /** In order: the number of a message that was shown, or -1 - i for the i-th gap event. */
  readonly told: readonly number[];
  readonly gaps: readonly ToldGap[];
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
