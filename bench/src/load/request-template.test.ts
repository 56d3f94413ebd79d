import { describe, expect, it } from 'vitest';
import { RequestTemplate } from './request-template.ts';
import { blankStamp, findStamp, stampLane, stampSequence, stampTimeUs, TARGET_PLACEHOLDER } from './stamp.ts';

const ITEM = `{"user":"${TARGET_PLACEHOLDER}","data":{${blankStamp()}}}`;

describe('a request template', () => {
  it('writes the target wherever the message names it, and the stamp', () => {
    const template = new RequestTemplate(
      { path: `/publish?to=${TARGET_PLACEHOLDER}`, body: ITEM, isBatch: false },
      'localhost:1',
    );
    template.aim(0, 4711);
    template.stamp(0, 7, 123, 9_876_543_210);
    const text = template.bytes.toString();
    expect(text).toMatch(/^POST \/publish\?to=00004711 HTTP\/1\.1\r\nHost: localhost:1\r\n/);
    expect(text).toContain('"user":"00004711"');
    const at = findStamp(template.bytes, 0, template.bytes.length);
    expect([stampLane, stampSequence, stampTimeUs].map((read) => read(template.bytes, at))).toEqual([
      7, 123, 9_876_543_210,
    ]);
  });

  it('states the length of its body', () => {
    const { bytes } = new RequestTemplate({ path: '/', body: `[${ITEM}]`, isBatch: true }, 'h');
    const [head = '', body = ''] = bytes.toString().split('\r\n\r\n');
    expect(head).toContain(`Content-Length: ${body.length}`);
  });

  it('aims and stamps each message of a batch by itself', () => {
    const template = new RequestTemplate({ path: '/batch', body: `[${ITEM},${ITEM}]`, isBatch: true }, 'h');
    expect(template.messages).toBe(2);
    template.aim(0, 1);
    template.aim(1, 2);
    template.stamp(1, 0, 5, 6);
    const items = JSON.parse(template.bytes.toString().split('\r\n\r\n')[1] ?? '');
    expect(items).toEqual([
      { user: '00000001', data: { bench: '000.0000000000.00000000000000' } },
      { user: '00000002', data: { bench: '000.0000000005.00000000000006' } },
    ]);
  });

  it('refuses a body without a stamp', () => {
    expect(() => new RequestTemplate({ path: '/', body: '{}', isBatch: false }, 'h')).toThrow(/must hold/);
  });
});
