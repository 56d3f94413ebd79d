/**
 * JSON numbers have any length, JavaScript's have 53 bits. A number that would not be written again as it was
 * read (12345678901234567890, 1e400, 1.0, -0) is carried as its source text, so that subscribers get every
 * digit. Bodies without such numbers pay for one look at their text.
 */

/**
 * Number tokens that may be written differently: 16 or more characters, an exponent, a trailing zero after the
 * point, many zeros in front, minus zero. It also matches inside strings, which costs a second parse, no more.
 */
const SUSPICIOUS_NUMBER =
  /[[:,\s](?:-0(?![.\d])|-?(?:[\d.]{16}|[\d.]{1,15}[eE]|\d{1,14}\.\d{0,14}0(?!\d)|0\.0{6}))/;

/** ES2025 source text access, in every Node since 21; TypeScript's library does not declare it yet. */
const json = JSON as unknown as {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { source?: string }) => unknown,
  ): unknown;
  rawJSON(text: string): unknown;
};

export function hasSuspiciousNumber(text: string): boolean {
  return SUSPICIOUS_NUMBER.test(text);
}

/**
 * `text` parsed with every number that JavaScript would change as raw JSON, which `JSON.stringify` writes as it
 * is. The reviver recurses: the caller has checked the depth of nesting.
 */
export function parseExactly(text: string): unknown {
  return json.parse(text, (_key, value, context) =>
    typeof value === 'number' && context.source !== undefined && context.source !== String(value)
      ? json.rawJSON(context.source)
      : value,
  );
}
