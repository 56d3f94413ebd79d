/** Variables of the engine and of history. */
import { boolean, bytes, choice, integer, PATH, text } from './kinds/setting.ts';

const EMBEDDED = 'MESSAGE_QUEUE_TYPE=embedded';
const REDIS_MEMORY = 'With Redis, the limit is its `maxmemory`.';

export const HISTORY_SETTINGS = {
  MESSAGE_QUEUE_TYPE: choice(['embedded', 'redis'], {
    default: 'embedded',
    about:
      'Engine that orders and stores messages: `embedded` stores them on disk, for a single process; `redis` stores them in Redis, which several processes share.',
  }),
  DATA_DIR: text({
    ...PATH,
    default: 'data',
    needs: EMBEDDED,
    about: 'Folder in which the embedded engine stores messages. Only one process at a time may use it.',
  }),
  ENABLE_ASYNC_PROCESSING: boolean({
    default: true,
    about:
      'Group commit: publishes that arrive together share one write to disk, or one call to Redis. With `false` each is written separately. Either way, a publish is stored before it is acknowledged.',
  }),
  MESSAGE_QUEUE_SIZE: integer({
    default: 10_000,
    min: 1,
    max: 100_000_000,
    unit: 'messages',
    about: 'Maximum number of messages in the history of a channel; the oldest are dropped first.',
  }),
  CHANNEL_HISTORY_MAX_BYTES: bytes({
    default: 67_108_864,
    min: 1024,
    max: 1_099_511_627_776,
    about: 'Maximum size of the messages in the history of a channel; the oldest are dropped first.',
  }),
  HISTORY_MAX_BYTES: bytes({
    default: 1_073_741_824,
    min: 1024,
    max: 17_592_186_044_416,
    needs: EMBEDDED,
    about: `Maximum size of the messages in the history of all channels together; the oldest are dropped first. ${REDIS_MEMORY}`,
  }),
  MESSAGE_TTL: integer({
    default: 3600,
    min: 0,
    max: 315_360_000,
    unit: 'seconds',
    zero: 'until trimmed',
    about: 'Time for which a message without a `ttl` of its own stays in history.',
  }),
  CHANNEL_RETENTION_DAYS: integer({
    default: 7,
    min: 1,
    max: 3650,
    unit: 'days',
    about:
      'Time for which a channel and its offsets are remembered after its last message. A stream that resumes later gets a `gap`.',
  }),
  MAX_CHANNELS: integer({
    default: 1_000_000,
    min: 1,
    max: 100_000_000,
    unit: 'channels',
    needs: EMBEDDED,
    about: `Maximum number of channels that are remembered; beyond it, a publish to a new channel gets 503 \`storage_full\`. ${REDIS_MEMORY}`,
  }),
  IDEMPOTENCY_TTL: integer({
    default: 300,
    min: 1,
    max: 604_800,
    unit: 'seconds',
    about:
      'Time within which a publish with the same message `id` returns the first result. With `MESSAGE_QUEUE_TYPE=redis` every node needs the same value, and ids from before a change may be forgotten.',
  }),
  IDEMPOTENCY_MAX_KEYS: integer({
    default: 1_000_000,
    min: 1,
    max: 100_000_000,
    unit: 'ids',
    needs: EMBEDDED,
    about: `Maximum number of message ids that are remembered; the oldest are forgotten first. ${REDIS_MEMORY}`,
  }),
} as const;
