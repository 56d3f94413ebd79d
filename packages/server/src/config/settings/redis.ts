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
      '`standalone`: one server. `sentinel`: a master and its replicas, watched over by sentinels. `cluster`: Redis Cluster, which the channels are spread over.',
  }),
  REDIS_URL: redisUrl({
    needs,
    about:
      'Server, or one node of the cluster, in one line. It wins over REDIS_HOST, REDIS_PORT and REDIS_TLS; the database, or user and password, that it leaves out are taken from their variables. Its port is 6379 unless it says another one. Not with `REDIS_MODE=sentinel`.',
  }),
  REDIS_HOST: text({
    ...NODE_HOST,
    default: 'localhost',
    needs,
    about: 'Host of Redis. Not used beside REDIS_NODES.',
  }),
  REDIS_PORT: integer({
    default: 6379,
    min: 1,
    max: 65535,
    needs,
    about: 'Port of Redis. Not used beside REDIS_NODES.',
  }),
  REDIS_NODES: optionalNodes({
    needs,
    about:
      'With `REDIS_MODE=sentinel` the sentinels, with `REDIS_MODE=cluster` some nodes of the cluster, from which the others are learned; name more than one, so that one may be away. A cluster may be named by REDIS_HOST and REDIS_PORT instead.',
  }),
  REDIS_SENTINEL_MASTER: text({
    allowed: '1 to 128 of A-Z a-z 0-9 . _ -',
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
    about: 'Database number. A cluster has database 0 alone: there another one that is set is refused.',
  }),
  REDIS_USERNAME: optionalText({
    ...ONE_LINE,
    needs,
    about:
      "User of Redis' access lists; without it the password is that of the default user (`requirepass`).",
  }),
  REDIS_PASSWORD: optionalText({ ...PASSWORD, needs, about: 'Password of Redis.' }),
  REDIS_SENTINEL_USERNAME: optionalText({
    ...ONE_LINE,
    needs: 'REDIS_MODE=sentinel',
    about: 'User at the sentinels, which have credentials of their own.',
  }),
  REDIS_SENTINEL_PASSWORD: optionalText({
    ...PASSWORD,
    needs: 'REDIS_MODE=sentinel',
    about: 'Password of the sentinels.',
  }),
  REDIS_TLS: boolean({
    default: false,
    needs,
    about: 'Connects by TLS, to sentinels too. A REDIS_URL that starts with `rediss://` does so as well.',
  }),
  REDIS_TLS_CA_PATH: optionalText({
    ...PATH,
    needs: 'REDIS_TLS=true',
    about: "Authorities that Redis' certificate may be of, PEM. Default: those that Node.js knows.",
  }),
  REDIS_TLS_CERT_PATH: optionalText({
    ...PATH,
    needs: 'REDIS_TLS=true',
    about: 'Certificate of this service for a Redis that asks for one, PEM.',
  }),
  REDIS_TLS_KEY_PATH: optionalText({
    ...PATH,
    needs: 'REDIS_TLS=true',
    about: 'Its private key, PEM.',
  }),
  REDIS_TLS_VERIFY: boolean({
    default: true,
    needs: 'REDIS_TLS=true',
    about:
      "Whether Redis' certificate must be valid and of its host. `false` keeps out listeners and nobody else: anybody may stand in for Redis.",
  }),
  REDIS_KEY_PREFIX: text({
    allowed: '1 to 64 characters without spaces, { and }',
    // Braces would choose the hash slot of every key alike, and a cluster would have all channels on one node.
    pattern: /^[^\s{}\p{C}]{1,64}$/u,
    default: 'mps:',
    needs,
    about:
      'Begins the name of every key and bus channel. Services that share a database of Redis, or a cluster, are apart by it.',
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
  REDIS_SOCKET_TIMEOUT: integer({
    default: 5,
    min: 1,
    max: 300,
    unit: 'seconds',
    needs,
    about:
      'Time within which Redis must answer a command. A publish that is not answered by then is refused with 503.',
  }),
} as const;
