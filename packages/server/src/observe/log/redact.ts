/**
 * Keeps credentials out of the log. A URL's query may hold a credential, because `EventSource` cannot send custom
 * headers; so every logged URL is redacted here.
 */

const MASK = '***';

/** Matches names of parameters whose values count as credentials. Masking too much does no harm. */
const CREDENTIAL_NAME =
  /ticket|token|jwt|key$|^key|password|passwd|^pwd$|secret|^auth$|authorization|signature|^sig$|credential|^code$/;

// Also matches within other text, such as an error message that quotes a URL.
const PARAMETER = /([?&;])([^=&;#\s"'<>]{1,256})=([^&;#\s"'<>]*)/g;
const USER_INFO = /(:\/\/)[^/?#\s"'<>]*@/g;

/** Masks the values of credentials in `url`, or in a text that contains URLs. */
export function redactUrl(url: string): string {
  let redacted = url;
  if (redacted.includes('@')) redacted = redacted.replace(USER_INFO, `$1${MASK}@`);
  if (!redacted.includes('=')) return redacted;
  return redacted.replace(PARAMETER, (whole, separator: string, name: string) =>
    isCredential(name) ? `${separator}${name}=${MASK}` : whole,
  );
}

function isCredential(name: string): boolean {
  return CREDENTIAL_NAME.test(decodedName(name).toLowerCase());
}

/** Decodes a name as the service does: `%74oken` is `token`. */
function decodedName(name: string): string {
  if (!name.includes('%')) return name;
  return name.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

const SECRET_HEADERS: ReadonlySet<string> = new Set([
  'authorization',
  'proxy-authorization',
  'cookie',
  'set-cookie',
  'x-api-key',
]);

/** Masks secret headers, and credentials in URLs of other headers (`referer`). */
export function redactHeaders(headers: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => {
      if (SECRET_HEADERS.has(name.toLowerCase())) return [name, MASK];
      return [name, typeof value === 'string' ? redactUrl(value) : value];
    }),
  );
}
