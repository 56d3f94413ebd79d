/**
 * Keeps credentials out of the log. A credential may travel in a URL's query, because `EventSource` sends no
 * headers of one's own; so every URL that is logged passes here.
 */

const MASK = '***';

/** Part of a parameter's name that makes its value a credential. Masking too much costs nothing. */
const CREDENTIAL_NAME =
  /ticket|token|jwt|key$|^key|password|passwd|^pwd$|secret|^auth$|authorization|signature|^sig$|credential|^code$/;

// Also matches within a text, such as an error message that quotes a URL.
const PARAMETER = /([?&;])([^=&;#\s"'<>]{1,256})=([^&;#\s"'<>]*)/g;
const USER_INFO = /(:\/\/)[^/?#\s"'<>]*@/g;

/** `url` (or a text that holds some) with the values of credentials masked. */
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

/** The name as the service reads it: `%74oken` is `token`. */
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

/** Headers as the log may show them: secrets masked, credentials in URLs (`referer`) too. */
export function redactHeaders(headers: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => {
      if (SECRET_HEADERS.has(name.toLowerCase())) return [name, MASK];
      return [name, typeof value === 'string' ? redactUrl(value) : value];
    }),
  );
}
