/**
 * Keeps every digit of a number. JSON numbers have any length, JavaScript's have 53 bits, so a number that would be
 * written differently than it was read (12345678901234567890, 1e400, 1.0, -0) is carried as its source text. A body
 * without such numbers costs one search of its text.
 */

/**
 * Matches number tokens that may be written differently: 16 or more characters, an exponent, a trailing zero after
 * the point, many leading zeros, minus zero. A match inside a string only costs a second parse.
 */
const SUSPICIOUS_NUMBER =
  /[[:,\s](?:-0(?![.\d])|-?(?:[\d.]{16}|[\d.]{1,15}[eE]|\d{1,14}\.\d{0,14}0(?!\d)|0\.0{6}))/;

/** Source text access (ES2025), in Node since 21. TypeScript's library does not declare it yet. */
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
 * Parses `text`. Numbers that JavaScript would change become raw JSON, which `JSON.stringify` writes as it is. The
 * reviver recurses, so the caller must have checked the depth of nesting.
 */
export function parseExactly(text: string): unknown {
  return json.parse(text, (_key, value, context) =>
    typeof value === 'number' && context.source !== undefined && context.source !== String(value)
      ? json.rawJSON(context.source)
      : value,
  );
}
