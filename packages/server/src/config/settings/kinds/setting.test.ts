import { describe, expect, test } from 'vitest';
import { boolean, bytes, choice, InvalidValue, integer } from './setting.ts';

const about = 'For the test.';

describe('integer', () => {
  const setting = integer({ default: 5, min: 0, max: 100, about });

  test.each([
    ['0', 0],
    ['100', 100],
    ['007', 7],
  ])('takes %s', (text, value) => expect(setting.parse(text)).toBe(value));

  test.each(['-1', '101', '1.5', '1e1', '0x10', '1_0', 'five', '1 0', '99999999999999999999', '٣'])(
    'refuses %s',
    (text) => expect(setting.parse(text)).toBeInstanceOf(InvalidValue),
  );
});

describe('bytes', () => {
  const setting = bytes({ default: 10_485_760, min: 1024, max: 1_073_741_824, about });

  test.each([
    ['1024', 1024],
    ['10MB', 10_485_760],
    ['10 mb', 10_485_760],
    ['1GB', 1_073_741_824],
    ['2048B', 2048],
  ])('takes %s', (text, value) => expect(setting.parse(text)).toBe(value));

  test.each(['1023', '2GB', '10M', '1.5MB', 'MB', '-1MB'])('refuses %s', (text) =>
    expect(setting.parse(text)).toBeInstanceOf(InvalidValue),
  );

  test('shows a size in the largest unit that is exact', () => {
    expect([setting.show(10_485_760), setting.show(1536), setting.show(1025)]).toEqual([
      '10MB',
      '1536',
      '1025',
    ]);
  });
});

test('a boolean is taken in the spellings of env files, in any case of letters', () => {
  const setting = boolean({ default: false, about });
  expect(['true', 'TRUE', '1', 'yes', 'On'].map((text) => setting.parse(text))).toEqual([
    true,
    true,
    true,
    true,
    true,
  ]);
  expect(['false', 'False', '0', 'no', 'off'].map((text) => setting.parse(text))).toEqual(
    Array(5).fill(false),
  );
  expect(setting.parse('enabled')).toBeInstanceOf(InvalidValue);
});

test('a choice is taken in any case of letters and by its aliases', () => {
  const setting = choice(['WARNING', 'ERROR'], { default: 'ERROR', aliases: { WARN: 'WARNING' }, about });
  expect(setting.parse('warning')).toBe('WARNING');
  expect(setting.parse('warn')).toBe('WARNING');
  expect(setting.parse('loud')).toBeInstanceOf(InvalidValue);
});
