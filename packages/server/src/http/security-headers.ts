/** What keeps a browser from taking an answer for something that it is not. */

export const SECURITY_HEADERS = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  // An answer of the API is data: nothing in it may run or be framed.
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cache-control': 'no-store',
} as const;

/** `seconds`: for how long browsers ask this host by HTTPS only; undefined: nothing is said, as over plain HTTP. */
export function hstsHeaders(seconds: number | undefined): Readonly<Record<string, string>> {
  return seconds === undefined ? {} : { 'strict-transport-security': `max-age=${seconds}` };
}

/** For Swagger UI: everything from here, nothing from elsewhere; it sets styles from its script. */
export const DOCS_CSP =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
  "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
