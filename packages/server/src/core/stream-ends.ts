/**
 * The catalogue of reasons why the service ends a stream. The farewell event is `event: reconnect` where the
 * client should come back and `event: end` where it need not; the same word is a label in the metrics and a
 * field in the log.
 */
export const STREAM_ENDS = {
  /** The peer closed, or the network did. No farewell can reach it. */
  client_closed: { farewell: undefined },
  /** Sent bytes stayed unread for CONNECTION_TIMEOUT seconds. */
  stalled: { farewell: undefined },
  /** The process stops; another one, or the next one, serves on. */
  draining: { farewell: 'reconnect' },
  /** The stream reached STREAM_MAX_AGE. */
  max_age: { farewell: 'reconnect' },
  /** MAX_CONNECTIONS: the newcomer is turned away, never an older stream. */
  too_many_connections: { farewell: 'reconnect' },
  /** MAX_CONNECTIONS_PER_USER. */
  too_many_connections_of_user: { farewell: 'reconnect' },
  /** MAX_CONNECTIONS_PER_ADDRESS. */
  too_many_connections_of_address: { farewell: 'reconnect' },
  /** An operator closed it by DELETE. */
  kicked: { farewell: 'end' },
  /** More streams were opened than RATE_LIMIT_CONNECTS_PER_MINUTE lets one client open. */
  rate_limited: { farewell: 'reconnect' },
  /** Whoever says what is allowed (an issuer's keys, the application) does not answer. */
  authorization_unavailable: { farewell: 'reconnect' },
  /** Its credential has ended and was not renewed. */
  expired: { farewell: 'end' },
  /** Its credential was revoked, or its API key taken back. */
  revoked: { farewell: 'end' },
  /** The engine failed while the stream was being fed from history. */
  engine_failed: { farewell: 'reconnect' },
} as const satisfies Record<string, { farewell: 'reconnect' | 'end' | undefined }>;

export type StreamEnd = keyof typeof STREAM_ENDS;
