/**
 * The kind of setting for REDIS_URL. Redis clients interpret unusual URLs differently, so every part that could be
 * ignored or read in two ways is refused. A problem never quotes the URL: any part of it may belong to a password.
 */
import { NODE_HOST } from './network-settings.ts';
import { type About, Default, InvalidValue, type Setting, setting } from './setting.ts';

export interface RedisUrl {
  /** The original text, including secrets. */
  readonly text: string;
  readonly isTls: boolean;
  readonly host: string;
  readonly port: number;
  /** `undefined` when the URL has none. */
  readonly database: number | undefined;
  /** `undefined` when the URL has none. Without a user name, the password is that of `requirepass`. */
  readonly credentials: { readonly username: string | undefined; readonly password: string } | undefined;
}

const DEFAULT_PORT = 6379;
const MAX_DATABASE = 65_535;

export function redisUrl(about: Omit<About<RedisUrl | undefined>, 'default'>): Setting<RedisUrl | undefined> {
  return setting<RedisUrl | undefined>(
    {
      type: 'URL',
      allowed:
        'redis://[[user]:password@]host[:port][/database], or rediss:// for TLS, with special characters in user and password percent-encoded',
      parse: parseRedisUrl,
      show: (url) => url?.text ?? '',
    },
    { ...about, default: new Default<RedisUrl | undefined>('', () => undefined) },
  );
}

function parseRedisUrl(text: string): RedisUrl | InvalidValue {
  if (!URL.canParse(text)) return new InvalidValue();
  const url = new URL(text);
  if (url.protocol !== 'redis:' && url.protocol !== 'rediss:') return new InvalidValue();
  if (/[?#]/.test(text)) {
    return new InvalidValue(
      'it has a query or a fragment (? or #), which has no meaning here; use the other variables instead',
    );
  }
  // An IPv6 address is written in brackets.
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  if (host.includes(',')) return new InvalidValue('it names several servers; use REDIS_NODES for that');
  if (!NODE_HOST.pattern.test(host)) return new InvalidValue('it names no host');
  const port = url.port === '' ? DEFAULT_PORT : Number(url.port);
  if (port === 0) return new InvalidValue('its port is not from 1 to 65535');
  const path = /^\/?(\d{0,5})$/.exec(url.pathname);
  const database = path?.[1] === '' ? undefined : Number(path?.[1]);
  if (path === null || (database ?? 0) > MAX_DATABASE) {
    return new InvalidValue(`what follows the host is not a database number from 0 to ${MAX_DATABASE}`);
  }
  const username = decoded(url.username);
  const password = decoded(url.password);
  if (username === undefined || password === undefined) {
    return new InvalidValue('its user or password has a malformed percent-encoding');
  }
  if (username !== '' && password === '') {
    // Some clients take a lone user name for the password.
    return new InvalidValue('it has a user without a password; a password alone is written after a colon');
  }
  return {
    text,
    isTls: url.protocol === 'rediss:',
    host,
    port,
    database,
    credentials: password === '' ? undefined : { username: username === '' ? undefined : username, password },
  };
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    // Malformed percent-encoding: the caller refuses it.
    return undefined;
  }
}
