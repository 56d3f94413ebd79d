/** Variables that bound what publishers may send. */
import { bytes, choice, integer } from './kinds/setting.ts';

export const PUBLISHING_SETTINGS = {
  MAX_MESSAGE_SIZE: bytes({
    default: 1_048_576,
    min: 1024,
    max: 67_108_864,
    about: 'Maximum size of the body of one message; a larger one gets 413.',
  }),
  MAX_BATCH_SIZE: integer({
    default: 1000,
    min: 1,
    max: 100_000,
    unit: 'messages',
    about: 'Maximum number of messages in one batch.',
  }),
  MAX_BATCH_BYTES: bytes({
    default: 8_388_608,
    min: 1024,
    max: 1_073_741_824,
    about: 'Maximum size of the body of one batch. It must be at least MAX_MESSAGE_SIZE.',
  }),
  MAX_JSON_DEPTH: integer({
    default: 32,
    min: 4,
    max: 256,
    unit: 'levels',
    about: 'Maximum nesting depth of objects and arrays in a body.',
  }),
  PUBLISH_QUEUE_MAX_BYTES: bytes({
    default: 67_108_864,
    min: 1024,
    max: 17_179_869_184,
    about:
      'Maximum size of all publishes that wait for the engine; beyond it, publishers get 503 with `Retry-After`. It must be at least MAX_BATCH_BYTES.',
  }),
  ACK_LEVEL: choice(['stored', 'replicated'], {
    default: 'stored',
    about:
      'When a publish is acknowledged: `stored`, once the engine has stored it; `replicated`, once ACK_REPLICAS replicas of Redis have it too, which needs `MESSAGE_QUEUE_TYPE=redis`. A publisher can choose with `?ack=` or `metadata.ack`.',
  }),
  ACK_REPLICAS: integer({
    default: 1,
    min: 1,
    max: 100,
    unit: 'replicas',
    needs: 'MESSAGE_QUEUE_TYPE=redis',
    about:
      'Number of replicas that must have a message before it counts as `replicated`; when fewer confirm in time, the publisher gets 503 `not_replicated`.',
  }),
} as const;
