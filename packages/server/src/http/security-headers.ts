/** Headers that keep browsers from treating an answer as something that it is not. */

export const SECURITY_HEADERS = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  // An answer is data: nothing in it may run or be framed.
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cache-control': 'no-store',
} as const;

/** `seconds` is how long browsers use HTTPS only for this host. Over plain HTTP it is absent, and so is the header. */
export function hstsHeaders(seconds: number | undefined): Readonly<Record<string, string>> {
  return seconds === undefined ? {} : { 'strict-transport-security': `max-age=${seconds}` };
}

/** The policy for Swagger UI: it loads everything from this host, and its script sets styles. */
export const DOCS_CSP =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
  "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
