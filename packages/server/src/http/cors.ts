/** Which pages may read answers: the rule for the API and for streams. Functions of values. */

export interface CorsRules {
  /** Exact origins, or any. */
  readonly origins: '*' | readonly string[];
  readonly allowsCredentials: boolean;
}

const EXPOSED_HEADERS = 'X-Request-ID, X-Connection-ID, X-User-ID, X-Service, X-Task-ID, Retry-After';
const METHODS = 'GET, HEAD, POST, DELETE, OPTIONS';
const DEFAULT_REQUEST_HEADERS =
  'Content-Type, Authorization, X-API-Key, X-Request-ID, Last-Event-ID, Cache-Control';
const PREFLIGHT_MAX_AGE_SECONDS = 3_600;
const HEADER_NAMES = /^[A-Za-z0-9-]+(?:[ \t]*,[ \t]*[A-Za-z0-9-]+)*$/;

/** For every answer; `origin` is the request's header. */
export function corsHeaders(origin: string | undefined, rules: CorsRules): Record<string, string> {
  if (rules.origins === '*' && !rules.allowsCredentials) {
    if (origin === undefined) return {};
    return { 'access-control-allow-origin': '*', 'access-control-expose-headers': EXPOSED_HEADERS };
  }
  // A cache must not hand one origin's answer to another.
  const headers: Record<string, string> = { vary: 'Origin' };
  if (origin === undefined || !isAllowed(origin, rules)) return headers;
  headers['access-control-allow-origin'] = origin;
  headers['access-control-expose-headers'] = EXPOSED_HEADERS;
  // [spec] Fetch, 3.3.5: credentials need the origin itself, `*` does not count.
  if (rules.allowsCredentials) headers['access-control-allow-credentials'] = 'true';
  return headers;
}

export interface Preflight {
  readonly origin: string | undefined;
  readonly requestMethod: string | undefined;
  readonly requestHeaders: string | undefined;
}

/** The answer to a preflight, or `undefined` when an OPTIONS request is none. */
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

function isAllowed(origin: string, rules: CorsRules): boolean {
  // `null` is what sandboxed frames and files of any sender call themselves: never with credentials.
  if (origin === 'null') return !rules.allowsCredentials && rules.origins.includes('null');
  return rules.origins === '*' || rules.origins.includes(origin);
}
