/**
 * The catalogue of reasons why a stream ends. The farewell is `event: reconnect` when the client should come back, and
 * `event: end` when it need not. The name of the reason is also a label in the metrics and a field in the log.
 */
export const STREAM_ENDS = {
  /** The peer closed, or the network did. No farewell can reach it. */
  client_closed: { farewell: undefined },
  /** Sent bytes stayed unread for CONNECTION_TIMEOUT seconds. */
  stalled: { farewell: undefined },
  /** The process is stopping. Another one goes on serving. */
  draining: { farewell: 'reconnect' },
  /** The stream reached STREAM_MAX_AGE. */
  max_age: { farewell: 'reconnect' },
  /** MAX_CONNECTIONS is reached. The newcomer is turned away, never an older stream. */
  too_many_connections: { farewell: 'reconnect' },
  /** MAX_CONNECTIONS_PER_USER is reached. */
  too_many_connections_of_user: { farewell: 'reconnect' },
  /** MAX_CONNECTIONS_PER_ADDRESS is reached. */
  too_many_connections_of_address: { farewell: 'reconnect' },
  /** An operator closed it with DELETE. */
  kicked: { farewell: 'end' },
  /** The client has opened more streams than RATE_LIMIT_CONNECTS_PER_MINUTE allows. */
  rate_limited: { farewell: 'reconnect' },
  /** What decides about access (an issuer's keys, the application) does not answer. */
  authorization_unavailable: { farewell: 'reconnect' },
  /** Its credential has expired and was not renewed. */
  expired: { farewell: 'end' },
  /** Its credential was revoked, or its API key removed. */
  revoked: { farewell: 'end' },
  /** The engine failed while it fed the stream from history. */
  engine_failed: { farewell: 'reconnect' },
} as const satisfies Record<string, { farewell: 'reconnect' | 'end' | undefined }>;

export type StreamEnd = keyof typeof STREAM_ENDS;
