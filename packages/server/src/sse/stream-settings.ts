/** The settings of all streams, as the configuration groups them. */
export interface StreamSettings {
  readonly maxConnections: number;
  /** 0 when there is no limit. */
  readonly maxConnectionsPerUser: number;
  /** 0 when there is no limit. */
  readonly maxConnectionsPerAddress: number;
  readonly heartbeatMs: number;
  /** How long a peer may leave sent bytes unread. */
  readonly stallMs: number;
  /** Age at which a stream is told to reconnect, before jitter; 0 when streams may live for ever. */
  readonly maxAgeMs: number;
  /** Delay before a client reconnects, before jitter. */
  readonly retryMs: number;
  readonly flushIntervalMs: number;
  /** Unsent bytes of one stream beyond which it is fed from history. */
  readonly maxOutboxBytes: number;
  /** Unsent bytes of the process beyond which streams are fed from history only. */
  readonly maxTotalOutboxBytes: number;
  readonly catchUpPageBytes: number;
}
