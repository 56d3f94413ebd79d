/**
 * The outer form of compact tokens, checked before anything is decoded: the size, the number of parts, and that each
 * part is canonical base64url. Decoders are lenient (padding, white space, unused bits at the end of a part), and two
 * spellings of one token would count as two tokens wherever tokens are compared.
 */

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const CHARACTERS = /^[A-Za-z0-9_-]+$/;

/** Returns the parts, or `undefined` when the token is malformed. */
export function splitToken(token: string, parts: number, maxChars: number): readonly string[] | undefined {
  if (token.length > maxChars) return undefined;
  const found = token.split('.', parts + 1);
  return found.length === parts && found.every(isCanonicalBase64Url) ? found : undefined;
}

/** Tells whether `text` is not empty and its unused bits are zero. */
export function isCanonicalBase64Url(text: string): boolean {
  if (!CHARACTERS.test(text)) return false;
  const last = ALPHABET.indexOf(text.at(-1) as string);
  switch (text.length % 4) {
    case 0:
      return true;
    case 2:
      return (last & 0b1111) === 0;
    case 3:
      return (last & 0b11) === 0;
    default:
      return false;
  }
}
