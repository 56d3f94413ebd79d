/** Variables of the Redis engine. */
import { NODE_HOST, optionalNodes } from './kinds/network-settings.ts';
import { redisUrl } from './kinds/redis-url.ts';
import { boolean, choice, integer, optionalText, PATH, text } from './kinds/setting.ts';

const needs = 'MESSAGE_QUEUE_TYPE=redis';
const ONE_LINE = { allowed: '1 to 512 characters on one line', pattern: /^[^\0\r\n]{1,512}$/ } as const;
const PASSWORD = { ...ONE_LINE, isSecret: true } as const;

export const REDIS_SETTINGS = {
  REDIS_MODE: choice(['standalone', 'sentinel', 'cluster'], {
    default: 'standalone',
    needs,
    about:
      '`standalone`: one server. `sentinel`: a master and its replicas, monitored by sentinels. `cluster`: Redis Cluster, with the channels spread over its nodes.',
  }),
  REDIS_URL: redisUrl({
    needs,
    about:
      'URL of the server, or of one node of the cluster. It overrides REDIS_HOST, REDIS_PORT and REDIS_TLS. If it names no database or no credentials, REDIS_DB or REDIS_USERNAME and REDIS_PASSWORD apply. The default port is 6379. It must not be set with `REDIS_MODE=sentinel`.',
  }),
  REDIS_HOST: text({
    ...NODE_HOST,
    default: 'localhost',
    needs,
    about: 'Host of Redis. Not used with REDIS_NODES.',
  }),
  REDIS_PORT: integer({
    default: 6379,
    min: 1,
    max: 65535,
    needs,
    about: 'Port of Redis. Not used with REDIS_NODES.',
  }),
  REDIS_NODES: optionalNodes({
    needs,
    about:
      'Addresses of the sentinels with `REDIS_MODE=sentinel`, or of some nodes of the cluster, from which the others are discovered, with `REDIS_MODE=cluster`. List more than one, so that one may be down. A cluster can also be given by REDIS_HOST and REDIS_PORT.',
  }),
  REDIS_SENTINEL_MASTER: text({
    allowed: '1 to 128 characters from A-Z a-z 0-9 . _ -',
    pattern: /^[A-Za-z0-9._-]{1,128}$/,
    default: 'mymaster',
    needs: 'REDIS_MODE=sentinel',
    about: 'Name by which the sentinels know the master.',
  }),
  REDIS_DB: integer({
    default: 5,
    min: 0,
    max: 65535,
    needs,
    about:
      'Database number. A cluster has only database 0 and uses it by default; any other number is refused there.',
  }),
  REDIS_USERNAME: optionalText({
    ...ONE_LINE,
    needs,
    about: 'User of the Redis ACL. Without it, the password is that of the default user (`requirepass`).',
  }),
  REDIS_PASSWORD: optionalText({ ...PASSWORD, needs, about: 'Password of Redis.' }),
  REDIS_SENTINEL_USERNAME: optionalText({
    ...ONE_LINE,
    needs: 'REDIS_MODE=sentinel',
    about: 'User for the sentinels, which have credentials of their own.',
  }),
  REDIS_SENTINEL_PASSWORD: optionalText({
    ...PASSWORD,
    needs: 'REDIS_MODE=sentinel',
    about: 'Password of the sentinels.',
  }),
  REDIS_TLS: boolean({
    default: false,
    needs,
    about: 'Connects with TLS, also to sentinels. A REDIS_URL that starts with `rediss://` does the same.',
  }),
  REDIS_TLS_CA_PATH: optionalText({
    ...PATH,
    needs: 'REDIS_TLS=true',
    about:
      'Certificate authorities that may have issued the certificate of Redis, as PEM. Default: those that Node.js trusts.',
  }),
  REDIS_TLS_CERT_PATH: optionalText({
    ...PATH,
    needs: 'REDIS_TLS=true',
    about: 'Client certificate, as PEM, for a Redis that asks for one.',
  }),
  REDIS_TLS_KEY_PATH: optionalText({
    ...PATH,
    needs: 'REDIS_TLS=true',
    about: 'Private key of the client certificate, as PEM.',
  }),
  REDIS_TLS_VERIFY: boolean({
    default: true,
    needs: 'REDIS_TLS=true',
    about:
      'Requires the certificate of Redis to be valid and to match its host. `false` protects only against passive eavesdropping: anybody could impersonate Redis.',
  }),
  REDIS_KEY_PREFIX: text({
    allowed: '1 to 64 characters without spaces and braces',
    // Braces would give every key the same hash slot, and a cluster would have all channels on one node.
    pattern: /^[^\s{}\p{C}]{1,64}$/u,
    default: 'mps:',
    needs,
    about:
      'Prefix of the names of all keys and bus channels. It separates services that share a database or a cluster.',
  }),
  REDIS_MAX_CONNECTIONS: integer({
    default: 50,
    min: 2,
    max: 10_000,
    unit: 'connections',
    needs,
    about: 'Maximum number of connections from one process to Redis.',
  }),
  REDIS_CONNECTION_TIMEOUT: integer({
    default: 5,
    min: 1,
    max: 300,
    unit: 'seconds',
    needs,
    about: 'Time within which a connection to Redis must be made.',
  }),
  REDIS_SOCKET_TIMEOUT: integer({
    default: 5,
    min: 1,
    max: 300,
    unit: 'seconds',
    needs,
    about: 'Time within which Redis must reply to a command. A publish without a reply by then gets 503.',
  }),
} as const;
