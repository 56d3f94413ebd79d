/**
 * The outer form of compact tokens, checked before anything is decoded: a bound, the number of parts, and that each
 * part is base64url in the one way that its bytes can be written. Decoders are lenient (padding, white space, loose
 * bits at a part's end), and two spellings of one token would be two tokens to whoever compares or counts them.
 */

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const CHARACTERS = /^[A-Za-z0-9_-]+$/;

/** The parts, or undefined for what is no such token. */
export function splitToken(token: string, parts: number, maxChars: number): readonly string[] | undefined {
  if (token.length > maxChars) return undefined;
  const found = token.split('.', parts + 1);
  return found.length === parts && found.every(isCanonicalBase64Url) ? found : undefined;
}

/** Not empty, and without bits that say nothing. */
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
