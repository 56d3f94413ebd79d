/**
 * Whose page a request is from, where that matters: cookies are sent by the browser on behalf of any page, and a
 * ticket may be bound to the pages of one origin. Functions of values.
 *
 * A browser sends `Origin` with every request to another origin but for plain loads of images, scripts and frames,
 * and `Sec-Fetch-Site` with all; a page's script can set neither.
 */

export interface RequestOrigin {
  readonly origin: string | undefined;
  readonly secFetchSite: string | undefined;
  readonly host: string | undefined;
  /** The request only looks: GET or HEAD. */
  readonly isSafe: boolean;
}

/** `isTrusted(origin)`: pages of that origin may act for their visitors. */
export function mayUseCookie(request: RequestOrigin, isTrusted: (origin: string) => boolean): boolean {
  const { origin, secFetchSite, host, isSafe } = request;
  if (secFetchSite === 'same-origin') return true;
  if (origin !== undefined) return isTrusted(origin) || isOfHost(origin, host);
  // A user's own doing (the address bar), or no browser or one too old to say: good enough to look, not to act.
  return isSafe && (secFetchSite === undefined || secFetchSite === 'none');
}

export function isFromOrigin({ origin, secFetchSite }: RequestOrigin, bound: string): boolean {
  if (origin !== undefined) return origin === bound;
  // A page's requests to its own origin may come without; from another one they would not.
  return secFetchSite === undefined || secFetchSite === 'same-origin';
}

/** The scheme is not compared: behind a proxy that ends TLS only the browser knows it. */
function isOfHost(origin: string, host: string | undefined): boolean {
  return host !== undefined && URL.canParse(origin) && new URL(origin).host === host.toLowerCase();
}
