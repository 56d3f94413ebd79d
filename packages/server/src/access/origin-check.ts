/**
 * Checks which page a request comes from, where that matters: browsers send cookies on behalf of any page, and a ticket
 * may be bound to the pages of one origin. Pure functions.
 *
 * A browser sends `Origin` with every cross-origin request except plain loads of images, scripts and frames, and
 * `Sec-Fetch-Site` with every request. Scripts of a page can set neither.
 */

export interface RequestOrigin {
  readonly origin: string | undefined;
  readonly secFetchSite: string | undefined;
  readonly host: string | undefined;
  /** The method is GET or HEAD. */
  readonly isSafe: boolean;
}

/** `isTrusted` tells whether pages of an origin may act on behalf of their visitors. */
export function mayUseCookie(request: RequestOrigin, isTrusted: (origin: string) => boolean): boolean {
  const { origin, secFetchSite, host, isSafe } = request;
  if (secFetchSite === 'same-origin') return true;
  if (origin !== undefined) return isTrusted(origin) || isOfHost(origin, host);
  // The user's own navigation (the address bar), a client that is no browser, or an old browser: reading is safe
  // enough.
  return isSafe && (secFetchSite === undefined || secFetchSite === 'none');
}

export function isFromOrigin({ origin, secFetchSite }: RequestOrigin, bound: string): boolean {
  if (origin !== undefined) return origin === bound;
  // Same-origin requests may come without `Origin`; cross-origin ones would have it.
  return secFetchSite === undefined || secFetchSite === 'same-origin';
}

/** The scheme is not compared: behind a proxy that terminates TLS, only the browser knows it. */
function isOfHost(origin: string, host: string | undefined): boolean {
  return host !== undefined && URL.canParse(origin) && new URL(origin).host === host.toLowerCase();
}
