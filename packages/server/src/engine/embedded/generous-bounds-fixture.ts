/** Options of an embedded engine, with bounds that no test reaches. */

export const GENEROUS_BOUNDS = {
  maxMessagesPerChannel: 1000,
  maxBytesPerChannel: 1 << 26,
  maxBytes: 1 << 30,
  maxChannels: 1000,
  channelRetentionMs: 7 * 86_400_000,
  idempotencyTtlMs: 300_000,
  idempotencyMaxKeys: 1000,
  maxQueueBytes: 1 << 26,
  groupCommit: true,
};
