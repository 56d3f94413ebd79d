/** The parts of a request that may hold a credential, for requests read by Node's own servers. */
import type { IncomingMessage } from 'node:http';
import type { RequestParts } from '../access/authorizer.ts';

const READ_HEADERS: ReadonlySet<string> = new Set([
  'authorization',
  'x-api-key',
  'cookie',
  'origin',
  'sec-fetch-site',
  'host',
  ':authority',
]);

export function partsOf({ rawHeaders, url = '', method }: IncomingMessage): RequestParts {
  const found: Partial<Record<string, string[]>> = {};
  // Not from `headers`, where Node drops what occurs a second time.
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] as string).toLowerCase();
    if (!READ_HEADERS.has(name)) continue;
    const values = found[name];
    if (values === undefined) found[name] = [rawHeaders[i + 1] as string];
    else values.push(rawHeaders[i + 1] as string);
  }
  const { authorization, cookie, origin, host } = found;
  return {
    authorization,
    apiKey: found['x-api-key'],
    cookie,
    target: url,
    origin: origin?.join(),
    secFetchSite: found['sec-fetch-site']?.join(),
    host: (host ?? found[':authority'])?.join(),
    isSafe: method === 'GET' || method === 'HEAD',
  };
}
