import { describe, expect, test } from 'vitest';
import { carriedTraceparent, formatTraceparent, parseTraceparent } from './trace-context.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const parsed = { traceId: TRACE, spanId: SPAN, isSampled: true };

describe('traceparent', () => {
  test.each([
    [`00-${TRACE}-${SPAN}-01`, true],
    [`00-${TRACE}-${SPAN}-00`, false],
    [`00-${TRACE}-${SPAN}-03`, true],
    [`cc-${TRACE}-${SPAN}-01`, true],
    [`cc-${TRACE}-${SPAN}-01-what-comes-later`, true],
  ])('%s is read', (text, isSampled) => {
    expect(parseTraceparent(text)).toEqual({ ...parsed, isSampled });
  });

  test.each([
    '',
    'x',
    `00-${TRACE}-${SPAN}`,
    `00-${TRACE}-${SPAN}-1`,
    `00-${TRACE}-${SPAN}-01-more`,
    `cc-${TRACE}-${SPAN}-01.more`,
    `ff-${TRACE}-${SPAN}-01`,
    `00-${TRACE.toUpperCase()}-${SPAN}-01`,
    `00-${'0'.repeat(32)}-${SPAN}-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
    `00-${TRACE}-${SPAN}-01, 00-${TRACE}-${SPAN}-01`,
    `00-${TRACE}-${SPAN}-01\n`,
    5,
    null,
  ])('%j counts as absent', (text) => {
    expect(parseTraceparent(text)).toBeUndefined();
  });

  test('is written as it is read', () => {
    expect(parseTraceparent(formatTraceparent(parsed))).toEqual(parsed);
  });
});

describe('what a message carries', () => {
  const found = (wire: object) => carriedTraceparent(Buffer.from(JSON.stringify(wire)));
  const traceparent = formatTraceparent(parsed);

  test('is found at the end of its metadata', () => {
    expect(found({ data: { a: 1 }, metadata: { priority: 'normal', traceparent } })).toEqual(parsed);
    const inLarger = Buffer.from(`xx${JSON.stringify({ metadata: { traceparent } })}`).subarray(2);
    expect(carriedTraceparent(inLarger)).toEqual(parsed);
  });

  test('is not what stands elsewhere', () => {
    expect(found({})).toBeUndefined();
    expect(found({ data: { traceparent }, metadata: { priority: 'normal' } })).toBeUndefined();
    expect(found({ metadata: { traceparent: traceparent.replaceAll('a', 'z') } })).toBeUndefined();
    expect(found({ metadata: { note: `\\"traceparent":"${traceparent}` } })).toBeUndefined();
  });
});
