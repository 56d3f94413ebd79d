/**
 * Finds the credential of a request, without verifying it. A request may carry only one: with two, choosing one would
 * be a guess, and a proxy that checks the other one would guess differently. A URL may carry only a ticket, because
 * URLs end up in histories and logs and a ticket soon expires.
 */
import { RequestError } from '../core/errors.ts';

/** The parts of a request that may hold a credential. Header values are raw; a repeated header has several. */
export interface CredentialParts {
  readonly authorization: readonly string[] | undefined;
  readonly apiKey: readonly string[] | undefined;
  readonly cookie: readonly string[] | undefined;
  /** Raw path and query. */
  readonly target: string;
}

export type Credential =
  /** An API key in `X-API-Key`. */
  | { readonly kind: 'key'; readonly value: string }
  /** An API key or a JWT in `Authorization: Bearer`. */
  | { readonly kind: 'bearer'; readonly value: string }
  | { readonly kind: 'cookie'; readonly value: string }
  | { readonly kind: 'ticket'; readonly value: string };

const BEARER = /^bearer +([!-~]+)$/i;
const JWT_BEGINNING = 'eyJ';
const NAMES = {
  key: 'the X-API-Key header',
  bearer: 'the Authorization header',
  cookie: 'the cookie',
  ticket: '?ticket=',
} as const satisfies Record<Credential['kind'], string>;

/**
 * Returns the credential of a request, if any. `cookieName` is `undefined` when cookies are not accepted. Throws
 * `malformed_request` when the credential is ambiguous, and `unauthorized` for an unknown scheme.
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
      `a request must carry one credential; this one has several: ${places}`,
    );
  }
  return found[0];
}

/** An empty value counts as absent: some clients send one when they have no credential. */
function single(kind: Credential['kind'], values: readonly string[] | undefined): string | undefined {
  if (values === undefined || values.length === 0) return undefined;
  if (values.length > 1) {
    throw new RequestError('malformed_request', `${NAMES[kind]} must not be repeated`);
  }
  return values[0]?.trim() || undefined;
}

function bearerOf(authorization: string): string {
  const value = BEARER.exec(authorization)?.[1];
  if (value !== undefined) return value;
  throw new RequestError(
    'unauthorized',
    'the Authorization header must be "Bearer" followed by a credential',
  );
}

function ticketOf(value: string): string {
  if (!value.startsWith(JWT_BEGINNING)) return value;
  const problem =
    'a JWT must not be sent in a URL; send it in the Authorization header, or exchange it for a ticket';
  throw new RequestError('malformed_request', problem);
}

function ticketsOf(target: string): string[] {
  const mark = target.indexOf('?');
  // Most requests have no ticket, so the query is parsed only if it may hold one. The name may be percent-encoded.
  if (mark < 0 || !/ticket|%/i.test(target)) return [];
  return new URLSearchParams(target.slice(mark + 1)).getAll('ticket').filter((value) => value !== '');
}

/** [spec] RFC 6265, 5.4: pairs are separated by `; `. Values are not decoded; surrounding quotes are removed. */
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
