/** What a channel keeps. */
export interface LogBounds {
  readonly maxMessagesPerChannel: number;
  readonly maxBytesPerChannel: number;
  /** How long the state of a log outlives its history, ms. */
  readonly channelRetentionMs: number;
}
