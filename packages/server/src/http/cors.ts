/**
 * The rules about origins: which pages may read answers, and which may act for their visitors. The API, streams and
 * cookies share them. Pure functions.
 */

export interface CorsRules {
  /** `*` for any, or origins as browsers send them. `https://*.example.com` stands for all subdomains. */
  readonly origins: '*' | readonly string[];
  readonly allowsCredentials: boolean;
}

const EXPOSED_HEADERS =
  'X-Request-ID, X-Connection-ID, X-User-ID, X-Service, X-Task-ID, Retry-After, WWW-Authenticate, ' +
  'RateLimit, RateLimit-Policy, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset';
const METHODS = 'GET, HEAD, POST, DELETE, OPTIONS';
const DEFAULT_REQUEST_HEADERS =
  'Content-Type, Authorization, X-API-Key, X-Request-ID, Last-Event-ID, Cache-Control';
const PREFLIGHT_MAX_AGE_SECONDS = 3_600;
const HEADER_NAMES = /^[A-Za-z0-9-]+(?:[ \t]*,[ \t]*[A-Za-z0-9-]+)*$/;

/** The headers of every answer; `origin` is the header of the request. */
export function corsHeaders(origin: string | undefined, rules: CorsRules): Record<string, string> {
  if (rules.origins === '*') {
    // Every request gets the same, even without `Origin`, so there is nothing to vary by. Never with credentials.
    return { 'access-control-allow-origin': '*', 'access-control-expose-headers': EXPOSED_HEADERS };
  }
  // Without it a cache could hand one origin's answer to another.
  const headers: Record<string, string> = { vary: 'Origin' };
  if (origin === undefined || !isListed(origin, rules.origins)) return headers;
  headers['access-control-allow-origin'] = origin;
  headers['access-control-expose-headers'] = EXPOSED_HEADERS;
  // [spec] Fetch, 3.3.5: with credentials the origin must be named; `*` does not count.
  if (rules.allowsCredentials) headers['access-control-allow-credentials'] = 'true';
  return headers;
}

export interface Preflight {
  readonly origin: string | undefined;
  readonly requestMethod: string | undefined;
  readonly requestHeaders: string | undefined;
}

/** The headers that answer a preflight, or `undefined` if an OPTIONS request is not one. */
export function preflightHeaders(preflight: Preflight, rules: CorsRules): Record<string, string> | undefined {
  if (preflight.origin === undefined || preflight.requestMethod === undefined) return undefined;
  const headers = {
    ...corsHeaders(preflight.origin, rules),
    vary: 'Origin, Access-Control-Request-Headers',
  } as Record<string, string>;
  if (headers['access-control-allow-origin'] === undefined) return headers;
  const asked = preflight.requestHeaders;
  headers['access-control-allow-methods'] = METHODS;
  headers['access-control-allow-headers'] =
    asked !== undefined && HEADER_NAMES.test(asked) ? asked : DEFAULT_REQUEST_HEADERS;
  headers['access-control-max-age'] = String(PREFLIGHT_MAX_AGE_SECONDS);
  return headers;
}

/**
 * True if pages of `origin` may act for their visitors with the cookies that the browser sends. Being allowed to read
 * is not enough, and `*` names no origin.
 */
export function isTrustedOrigin(origin: string, { origins, allowsCredentials }: CorsRules): boolean {
  return allowsCredentials && origins !== '*' && isListed(origin, origins);
}

/** The origin `null`, which any sandboxed frame or local file has, is in no list and matches no pattern. */
function isListed(origin: string, origins: readonly string[]): boolean {
  return origins.some((entry) => {
    const star = entry.indexOf('*');
    return star < 0 ? origin === entry : isSubdomain(origin, entry.slice(0, star), entry.slice(star + 1));
  });
}

/** One or more labels of a host name as browsers send them. */
const LABELS = /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/;

/** `before` is the scheme with `://`; `after` is the domain with its leading dot, and a port other than the default. */
function isSubdomain(origin: string, before: string, after: string): boolean {
  const end = origin.length - after.length;
  return (
    end > before.length &&
    origin.startsWith(before) &&
    origin.endsWith(after) &&
    LABELS.test(origin.slice(before.length, end))
  );
}
