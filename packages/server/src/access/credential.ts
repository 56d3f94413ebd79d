/**
 * Finds the credential of a request, without judging it. It may be in one place only; with two, whoever wins is a
 * guess, and proxies that look at the other one would guess differently. In a URL stands nothing but a ticket: URLs
 * are kept in histories and logs, and a ticket is soon over.
 */
import { RequestError } from '../core/errors.ts';

/** The parts of a request that may hold one. Header values as they came, all of them where one came repeatedly. */
export interface CredentialParts {
  readonly authorization: readonly string[] | undefined;
  readonly apiKey: readonly string[] | undefined;
  readonly cookie: readonly string[] | undefined;
  /** Path and query as they came. */
  readonly target: string;
}

export type Credential =
  /** By `X-API-Key`. */
  | { readonly kind: 'key'; readonly value: string }
  /** By `Authorization: Bearer`: an API key or a JWT. */
  | { readonly kind: 'bearer'; readonly value: string }
  | { readonly kind: 'cookie'; readonly value: string }
  | { readonly kind: 'ticket'; readonly value: string };

const BEARER = /^bearer +([!-~]+)$/i;
const JWT_BEGINNING = 'eyJ';
const NAMES = {
  key: 'the header X-API-Key',
  bearer: 'the header Authorization',
  cookie: 'the cookie',
  ticket: '?ticket=',
} as const satisfies Record<Credential['kind'], string>;

/**
 * `cookieName`: undefined when cookies are no credential here. Throws `malformed_request` where it cannot be said
 * which credential is meant, and `unauthorized` for one of a kind that is not known.
 */
export function credentialOf(parts: CredentialParts, cookieName: string | undefined): Credential | undefined {
  const found: Credential[] = [];
  const key = single('key', parts.apiKey);
  if (key !== undefined) found.push({ kind: 'key', value: key });
  const authorization = single('bearer', parts.authorization);
  if (authorization !== undefined) found.push({ kind: 'bearer', value: bearerOf(authorization) });
  const cookie = cookieName === undefined ? undefined : single('cookie', cookiesOf(parts.cookie, cookieName));
  if (cookie !== undefined) found.push({ kind: 'cookie', value: cookie });
  const ticket = single('ticket', ticketsOf(parts.target));
  if (ticket !== undefined) found.push({ kind: 'ticket', value: ticketOf(ticket) });
  if (found.length > 1) {
    const places = found.map(({ kind }) => NAMES[kind]).join(' and ');
    throw new RequestError(
      'malformed_request',
      `a request carries one credential, this has several: ${places}`,
    );
  }
  return found[0];
}

/** An empty one counts as absent: that is how some clients write None. */
function single(kind: Credential['kind'], values: readonly string[] | undefined): string | undefined {
  if (values === undefined || values.length === 0) return undefined;
  if (values.length > 1) {
    throw new RequestError('malformed_request', `${NAMES[kind]} must not come repeatedly`);
  }
  return values[0]?.trim() || undefined;
}

function bearerOf(authorization: string): string {
  const value = BEARER.exec(authorization)?.[1];
  if (value !== undefined) return value;
  throw new RequestError('unauthorized', 'the header Authorization must be "Bearer" and a credential');
}

function ticketOf(value: string): string {
  if (!value.startsWith(JWT_BEGINNING)) return value;
  const problem = 'a JWT must not travel in a URL; send it by Authorization, or exchange it for a ticket';
  throw new RequestError('malformed_request', problem);
}

function ticketsOf(target: string): string[] {
  const mark = target.indexOf('?');
  // Most requests have none, and a query is not worth reading for nothing. The name may be percent-encoded.
  if (mark < 0 || !/ticket|%/i.test(target)) return [];
  return new URLSearchParams(target.slice(mark + 1)).getAll('ticket').filter((value) => value !== '');
}

/** [spec] RFC 6265, 5.4: pairs are separated by `; `. Values are taken as they are; quotes are no part of a token. */
function cookiesOf(headers: readonly string[] | undefined, name: string): string[] {
  const values: string[] = [];
  for (const pair of (headers ?? []).flatMap((header) => header.split(';'))) {
    const equals = pair.indexOf('=');
    if (equals < 0 || pair.slice(0, equals).trim() !== name) continue;
    values.push(
      pair
        .slice(equals + 1)
        .trim()
        .replace(/^"(.*)"$/, '$1'),
    );
  }
  return values;
}
