/** What the embedded engine is made with. */
export interface EmbeddedEngineOptions {
  readonly directory: string;
  readonly maxMessagesPerChannel: number;
  readonly maxBytesPerChannel: number;
  readonly maxBytes: number;
  readonly maxChannels: number;
  readonly channelRetentionMs: number;
  readonly idempotencyTtlMs: number;
  readonly idempotencyMaxKeys: number;
  readonly maxQueueBytes: number;
  /** When false, every publish is a commit of its own. */
  readonly groupCommit: boolean;
  readonly now: () => number;
  readonly observer?: EmbeddedEngineObserver;
}

/** What the metrics and the log learn. Every method is called at most once per commit or sweep. */
export interface EmbeddedEngineObserver {
  committed(publications: number, seconds: number): void;
  commitFailed(failure: string, message: string): void;
  trimmed(cause: TrimCause, rows: number): void;
  storeSetAside(file: string): void;
  /** The store thread has ended. The engine cannot recover from that. */
  faulted(message: string): void;
}

/** Why publications were deleted. */
export type TrimCause = 'count' | 'ttl' | 'total_bytes';
