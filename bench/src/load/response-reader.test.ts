import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ResponseReader } from './response-reader.ts';

function feedInParts(reader: ResponseReader, text: string, cuts: readonly number[]): number[] {
  const bytes = Buffer.from(text);
  const ends = [...cuts.filter((cut) => cut < bytes.length), bytes.length].sort((a, b) => a - b);
  return ends.map((end, i) => {
    const part = bytes.subarray(i === 0 ? 0 : (ends[i - 1] ?? 0), end);
    return part.length === 0 ? 0 : reader.feed(part, part.length);
  });
}

describe('the response reader', () => {
  it.each([
    ['a length', 'HTTP/1.1 201 Created\r\ncontent-length: 11\r\n\r\nhello world', 201],
    ['chunks', 'HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n', 503],
    ['an empty body', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', 200],
    ['no body', 'HTTP/1.1 204 No Content\r\n\r\n', 204],
  ])('ends a response with %s exactly once, at its last byte', (_, text, status) => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: text.length }), { maxLength: 8 }), (cuts) => {
        const reader = new ResponseReader();
        for (let i = 0; i < 2; i++) {
          const found = feedInParts(reader, text, [...new Set(cuts)]);
          expect(found.filter((one) => one !== 0)).toEqual([status]);
          expect(found.at(-1)).toBe(status);
          reader.next();
        }
      }),
    );
  });

  it('takes a response that is larger than its first buffer, and sees failures of a batch', () => {
    const body = `{"pad":"${'x'.repeat(50_000)}","failed_count":0}`;
    const text = `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    const reader = new ResponseReader();
    expect(feedInParts(reader, text, [10_000, 40_000])).toEqual([0, 0, 200]);
    expect(reader.hasNoFailures).toBe(true);
  });

  it('refuses a response whose end cannot be known', () => {
    const bytes = Buffer.from('HTTP/1.1 200 OK\r\n\r\n');
    expect(() => new ResponseReader().feed(bytes, bytes.length)).toThrow(/without a length/);
  });
});
