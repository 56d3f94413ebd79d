/** Kinds of settings for URLs, origins and addresses. */
import { isIP } from 'node:net';
import { type About, BOOLEANS, Default, InvalidValue, NOTHING, type Setting, setting } from './setting.ts';

/** A URL with one of `schemes`. Its credentials are masked wherever it is shown. */
export function optionalUrl(
  schemes: readonly string[],
  about: Omit<About<string | undefined>, 'default'>,
): Setting<string | undefined> {
  return setting<string | undefined>(
    {
      type: 'URL',
      allowed: `a URL that starts with ${schemes.map((s) => `${s}://`).join(' or ')}`,
      parse: (value) => {
        if (!URL.canParse(value)) return new InvalidValue();
        return schemes.includes(new URL(value).protocol.slice(0, -1)) ? value : new InvalidValue();
      },
    },
    { ...about, default: NOTHING },
  );
}

/** A URL to which paths are appended; a trailing slash is removed. */
export function optionalBaseUrl(
  about: Omit<About<string | undefined>, 'default'>,
): Setting<string | undefined> {
  return setting<string | undefined>(
    {
      type: 'URL',
      allowed: 'a URL that starts with http:// or https://, without a user, query or fragment',
      parse: (value) => {
        if (!URL.canParse(value)) return new InvalidValue();
        const { protocol, username, password, search, hash } = new URL(value);
        const isPlain = `${username}${password}${search}${hash}` === '';
        return isPlain && /^https?:$/.test(protocol) ? value.replace(/\/+$/, '') : new InvalidValue();
      },
    },
    { ...about, default: NOTHING },
  );
}

/** Name or address of a server. */
export const NODE_HOST = {
  type: 'address',
  allowed: 'an IP address or a host name',
  pattern: /^[A-Za-z0-9._:%-]{1,255}$/,
} as const;

export interface RedisNode {
  readonly host: string;
  readonly port: number;
}

/** A list of servers as `host:port`. */
export function optionalNodes(
  about: Omit<About<readonly RedisNode[] | undefined>, 'default'>,
): Setting<readonly RedisNode[] | undefined> {
  return setting<readonly RedisNode[] | undefined>(
    {
      type: 'list',
      allowed: 'a comma-separated list of host:port such as redis-1:6379,redis-2:6379,[fd00::3]:6379',
      parse: (value) => {
        const nodes: RedisNode[] = [];
        for (const entry of splitList(value)) {
          const node = nodeOf(entry);
          if (node === undefined) return new InvalidValue(`"${entry}" is not host:port`);
          if (!nodes.some(({ host, port }) => host === node.host && port === node.port)) nodes.push(node);
        }
        return nodes.length === 0 ? new InvalidValue() : nodes;
      },
      show: (nodes) => (nodes ?? []).map(({ host, port }) => `${bracketed(host)}:${port}`).join(),
    },
    { ...about, default: new Default<readonly RedisNode[] | undefined>('', () => undefined) },
  );
}

function nodeOf(entry: string): RedisNode | undefined {
  const [, address, name, digits] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(entry) ?? [];
  const host = address ?? name ?? '';
  const port = Number(digits);
  if (!NODE_HOST.pattern.test(host) || (address !== undefined && isIP(address) !== 6)) return undefined;
  return port >= 1 && port <= 65535 ? { host, port } : undefined;
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

/** Origins in the form that browsers send; `https://*.example.com` stands for all subdomains. */
export type AllowedOrigins = '*' | readonly string[];

/** A list of origins; `*` allows every origin, `none` is the empty list. */
export function origins(about: About<AllowedOrigins>): Setting<AllowedOrigins> {
  return setting<AllowedOrigins>(
    {
      type: 'list',
      allowed:
        '*, none, or a comma-separated list of origins such as https://app.example.com or https://*.example.com',
      parse: (value) => {
        if (value === '*') return '*';
        if (value.toLowerCase() === 'none') return [];
        const list: string[] = [];
        for (const entry of splitList(value)) {
          const origin = originOf(entry);
          if (origin instanceof InvalidValue) return origin;
          list.push(origin);
        }
        return list;
      },
      show: (value) => (typeof value === 'string' ? value : value.join(',') || 'none'),
    },
    about,
  );
}

function originOf(entry: string): string | InvalidValue {
  const url = URL.canParse(entry) ? new URL(entry) : undefined;
  // A path or a query would be dropped silently, and an operator would rely on it.
  if (url === undefined || url.origin === 'null' || !/^https?:\/\/[^/?#@\\]+\/?$/i.test(entry)) {
    return new InvalidValue(`"${entry}" is not an origin`);
  }
  if (!url.hostname.includes('*')) return url.origin;
  const domain = url.hostname.replace(/^\*\./, '');
  // `*.com` would allow nearly everybody, and an IP address has no subdomains.
  const isDomain = /[^.]\.[^.]*[a-z][^.]*$/.test(domain) || domain === 'localhost';
  if (domain.includes('*') || !isDomain) {
    return new InvalidValue(
      `"${entry}" is not a pattern: * must stand alone before a domain, as in https://*.example.com`,
    );
  }
  return url.origin;
}

/** Fastify's `trustProxy`: nobody, everybody, or the addresses and networks of the proxies. */
export type TrustProxy = boolean | readonly string[];

export function trustedProxies(about: About<TrustProxy>): Setting<TrustProxy> {
  return setting<TrustProxy>(
    {
      type: 'list',
      allowed: 'true, false, or a comma-separated list of IP addresses and networks such as 10.0.0.0/8',
      parse: (value) => {
        const isTrusted = BOOLEANS.get(value.toLowerCase());
        if (isTrusted !== undefined) return isTrusted;
        const list = splitList(value);
        const wrong = list.find((entry) => !isAddressOrNetwork(entry));
        return wrong === undefined
          ? list
          : new InvalidValue(`"${wrong}" is neither an IP address nor a network`);
      },
    },
    about,
  );
}

function isAddressOrNetwork(entry: string): boolean {
  const [address = '', prefix, ...rest] = entry.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128));
}

function splitList(value: string): string[] {
  return value
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}
