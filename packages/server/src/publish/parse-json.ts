/** Parses the bytes of a body, or throws a `malformed_json` that says where they stop being JSON. */
import { isUtf8 } from 'node:buffer';
import { RequestError } from '../core/errors.ts';

export interface ParsedJson {
  readonly text: string;
  readonly value: unknown;
}

export function parseJson(body: Uint8Array): ParsedJson {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (bytes.length === 0) {
    throw new RequestError('malformed_json', 'the body is empty; it must be JSON');
  }
  if (!isUtf8(bytes)) {
    throw new RequestError(
      'malformed_json',
      `the body is not valid UTF-8: byte ${firstInvalidByte(bytes)} does not belong to a character`,
    );
  }
  let text = bytes.toString();
  // [RFC 8259, 8.1] A parser may ignore a byte order mark, and some clients write one.
  if (text.charCodeAt(0) === 0xfeff) text = text.slice(1);
  try {
    return { text, value: JSON.parse(text) };
  } catch (error) {
    // V8 quotes a little of the text, perhaps half of a surrogate pair.
    const reason = error instanceof Error ? error.message.toWellFormed() : String(error);
    throw new RequestError('malformed_json', `the body is not valid JSON: ${reason}`, { cause: error });
  }
}

function firstInvalidByte(bytes: Buffer): number {
  const text = bytes.toString();
  // Decoding puts a replacement character where it fails, but the sender may also have written one.
  let offset = 0;
  for (const character of text) {
    if (character === '\ufffd' && bytes.readUIntBE(offset, Math.min(3, bytes.length - offset)) !== 0xefbfbd)
      break;
    offset += Buffer.byteLength(character);
  }
  return offset;
}
