/**
 * Reads the head of a request that is written in the plainest way, and no other. Whatever is unusual is left to Node's
 * own parser, so this one never has to decide what an ambiguous request means.
 */

/** A head that may be served on the fast lane. */
export interface PlainHead {
  readonly method: 'GET' | 'POST';
  /** Path and query, visible ASCII. */
  readonly target: string;
  /** Values by lower-case name. A head in which a name occurs twice is unusual. */
  readonly headers: ReadonlyMap<string, string>;
  /** Length of the body in bytes; 0 for GET. */
  readonly contentLength: number;
}

const REQUEST_LINE = /^(GET|POST) (\/[!-~]*) HTTP\/1\.1$/;
// [spec] RFC 9110, 5.6.2 token; 5.5 field-value without obs-text. The pattern does not strip the space around the
// value: with two places where it may match, a line of spaces would take time quadratic in its length.
const HEADER_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t -~]*)$/;
const CONTENT_LENGTH = /^(?:0|[1-9]\d{0,9})$/;

/** Headers that change what follows the head, or ask for more than an answer. */
const UNUSUAL_HEADERS = [
  'transfer-encoding',
  'upgrade',
  'expect',
  'content-encoding',
  'trailer',
  'te',
  'http2-settings',
];

/** `text` is the head without its final empty line. Returns `undefined` for a head that is not plain. */
export function parsePlainHead(text: string): PlainHead | undefined {
  const lines = text.split('\r\n');
  const requestLine = REQUEST_LINE.exec(lines[0] as string);
  if (requestLine === null) return undefined;
  const headers = new Map<string, string>();
  for (let i = 1; i < lines.length; i++) {
    const match = HEADER_LINE.exec(lines[i] as string);
    if (match === null) return undefined;
    const name = (match[1] as string).toLowerCase();
    if (headers.has(name)) return undefined;
    headers.set(name, (match[2] as string).trim());
  }
  for (const name of UNUSUAL_HEADERS) if (headers.has(name)) return undefined;
  if (!headers.has('host')) return undefined;
  const connection = headers.get('connection')?.toLowerCase();
  if (
    connection !== undefined &&
    connection !== 'keep-alive' &&
    connection !== 'close' &&
    connection !== ''
  ) {
    return undefined;
  }
  const method = requestLine[1] as 'GET' | 'POST';
  const length = headers.get('content-length');
  if (length !== undefined && !CONTENT_LENGTH.test(length)) return undefined;
  if (method === 'POST' ? length === undefined : length !== undefined && length !== '0') return undefined;
  return { method, target: requestLine[2] as string, headers, contentLength: Number(length ?? 0) };
}
