/** The parts of a plain request that may hold a credential. No header occurs twice in such a request. */
import type { RequestParts } from '../../access/authorizer.ts';
import type { PlainHead } from './front-request.ts';

export function plainParts({ headers, target, method }: PlainHead): RequestParts {
  const all = (name: string): string[] | undefined => {
    const value = headers.get(name);
    return value === undefined ? undefined : [value];
  };
  return {
    authorization: all('authorization'),
    apiKey: all('x-api-key'),
    cookie: all('cookie'),
    target,
    origin: headers.get('origin'),
    secFetchSite: headers.get('sec-fetch-site'),
    host: headers.get('host'),
    isSafe: method === 'GET',
  };
}
