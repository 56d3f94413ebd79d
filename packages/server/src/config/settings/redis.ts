/** Variables of the Redis engine. */
import { optionalUrl } from '../network-settings.ts';
import { integer, optionalText, text } from '../setting.ts';

const needs = 'MESSAGE_QUEUE_TYPE=redis';

export const REDIS_SETTINGS = {
  REDIS_URL: optionalUrl(['redis', 'rediss'], {
    needs,
    about: 'Redis server in one line; stands in for the host, port, database and password below.',
  }),
  REDIS_HOST: text({
    type: 'address',
    allowed: 'an IP address or a host name',
    pattern: /^[A-Za-z0-9._:%-]{1,255}$/,
    default: 'localhost',
    needs,
    about: 'Host of Redis.',
  }),
  REDIS_PORT: integer({ default: 6379, min: 1, max: 65535, needs, about: 'Port of Redis.' }),
  REDIS_DB: integer({ default: 5, min: 0, max: 65535, needs, about: 'Database number.' }),
  REDIS_PASSWORD: optionalText({
    allowed: '1 to 512 characters',
    pattern: /^[^\0\r\n]{1,512}$/,
    isSecret: true,
    needs,
    about: 'Password of Redis.',
  }),
  REDIS_MAX_CONNECTIONS: integer({
    default: 50,
    min: 2,
    max: 10_000,
    unit: 'connections',
    needs,
    about: 'Connections to Redis that one process may hold.',
  }),
  REDIS_CONNECTION_TIMEOUT: integer({
    default: 5,
    min: 1,
    max: 300,
    unit: 'seconds',
    needs,
    about: 'Time within which a connection to Redis must be made.',
  }),
} as const;
