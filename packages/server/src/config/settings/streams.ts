/** Variables of streams: their number, buffers, timing and framing. */
import { EVENT_MODES, MAX_CURSOR_CHANNELS, RESERVED_EVENT_NAMES } from '@message-push/protocol';
import { bytes, choice, integer, text } from './kinds/setting.ts';

export const STREAM_SETTINGS = {
  MAX_CONNECTIONS: integer({
    default: 1000,
    min: 1,
    max: 1_000_000,
    unit: 'streams',
    about:
      'Maximum number of open streams in this process. Beyond it, a new stream is told to reconnect later; open ones are kept.',
  }),
  MAX_CONNECTIONS_PER_USER: integer({
    default: 100,
    min: 0,
    max: 1_000_000,
    unit: 'streams',
    zero: 'no limit',
    about: 'Maximum number of open streams of one user, across all nodes.',
  }),
  MAX_CONNECTIONS_PER_ADDRESS: integer({
    default: 0,
    min: 0,
    max: 1_000_000,
    unit: 'streams',
    zero: 'no limit',
    about:
      'Maximum number of open streams of one client address, in each process. Behind a proxy set TRUST_PROXY too, or all clients seem to share one address.',
  }),
  MAX_CHANNELS_PER_STREAM: integer({
    default: 32,
    min: 4,
    max: MAX_CURSOR_CHANNELS,
    unit: 'channels',
    about: 'Maximum number of channels that one stream may join, including `broadcast`.',
  }),
  CONNECTION_TIMEOUT: integer({
    default: 300,
    min: 1,
    max: 86_400,
    unit: 'seconds',
    about: 'Time for which a client may leave sent bytes unread before its stream is closed.',
  }),
  HEARTBEAT_INTERVAL: integer({
    default: 30,
    min: 1,
    max: 3600,
    unit: 'seconds',
    about: 'Time between the heartbeats of a stream. Keep it below the idle timeout of every proxy.',
  }),
  STREAM_RETRY_MS: integer({
    default: 3000,
    min: 100,
    max: 600_000,
    unit: 'milliseconds',
    about:
      'Time that clients are told to wait before they reconnect; each stream gets its own random value within ±50 %.',
  }),
  STREAM_MAX_AGE: integer({
    default: 86_400,
    min: 0,
    max: 31_536_000,
    unit: 'seconds',
    zero: 'no limit',
    about:
      'Age at which a stream is told to reconnect. Up to 10 % is subtracted at random, so that streams that opened together do not reconnect together.',
  }),
  MAX_OUTBOX_BYTES: bytes({
    default: 65_536,
    min: 4096,
    max: 67_108_864,
    about: 'Number of unsent bytes beyond which a stream is fed from history, at the pace of its reader.',
  }),
  MAX_TOTAL_OUTBOX_BYTES: bytes({
    default: 268_435_456,
    min: 65_536,
    max: 68_719_476_736,
    about: 'Maximum number of unsent bytes of all streams together. It must be at least MAX_OUTBOX_BYTES.',
  }),
  CATCH_UP_PAGE_BYTES: bytes({
    default: 65_536,
    min: 1024,
    max: 16_777_216,
    about: 'Number of bytes of history that a stream reads at a time while it catches up.',
  }),
  FLUSH_INTERVAL_MS: integer({
    default: 2,
    min: 0,
    max: 50,
    unit: 'milliseconds',
    zero: 'once per turn of the event loop',
    about:
      'Minimum time between two writes to a busy stream; a message for a quiet stream is written at once.',
  }),
  SSE_EVENT_MODE: choice(EVENT_MODES, {
    default: 'named',
    about:
      'Names of the events that carry messages: `named` after the type of the message (for `addEventListener`), `message` for unnamed events (for `onmessage`), `both` for one event of each kind. `?event_mode=` overrides it.',
  }),
  SSE_ERROR_EVENT: text({
    allowed: `1 to 64 characters from A-Z a-z 0-9 . _ -, and none of ${RESERVED_EVENT_NAMES.join(', ')}`,
    pattern: new RegExp(`^(?!(?:${RESERVED_EVENT_NAMES.join('|')})$)[A-Za-z0-9._-]{1,64}$`),
    default: 'error',
    about:
      'Event name of messages of type `error`, because `EventSource` also uses `error` for connection failures. `?error_event=` overrides it.',
  }),
} as const;
