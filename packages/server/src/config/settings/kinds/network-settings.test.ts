import { describe, expect, test } from 'vitest';
import { origins, trustedProxies } from './network-settings.ts';
import { InvalidValue } from './setting.ts';

const about = 'For the test.';

describe('origins', () => {
  const setting = origins({ default: '*', about });

  test('exact origins are kept as browsers send them', () => {
    expect(setting.parse('https://App.Example.com/, http://localhost:3000,https://a.example:443')).toEqual([
      'https://app.example.com',
      'http://localhost:3000',
      'https://a.example',
    ]);
  });

  test('* is every origin and none is the empty list', () => {
    expect(setting.parse('*')).toBe('*');
    expect(setting.parse('none')).toEqual([]);
  });

  test.each([
    'https://a.example/app',
    'https://*.example.com:x',
    'a.example',
    'null',
    'https://a.example, *',
    'ftp://a',
  ])('refuses %s and names the entry', (text) => {
    const result = setting.parse(text);
    expect(result).toBeInstanceOf(InvalidValue);
    expect((result as InvalidValue).problem).toMatch(/is not an origin/);
  });

  test.each([
    'https://*',
    'https://*.com',
    'https://*.com.',
    'https://*example.com',
    'https://a.*.example.com',
    'https://a*.example.com',
    'https://*.*.example.com',
    'https://*.127.0.0.1',
    'https://*.example.com/app',
    'https://*.example.com@evil.net',
    '*://example.com',
    '*.example.com',
    'https://*.example.com:*',
  ])('refuses the pattern %s', (text) => expect(setting.parse(text)).toBeInstanceOf(InvalidValue));
});

describe('trustedProxies', () => {
  const setting = trustedProxies({ default: false, about });

  test('takes nobody, everybody, addresses and networks', () => {
    expect(setting.parse('false')).toBe(false);
    expect(setting.parse('true')).toBe(true);
    expect(setting.parse('127.0.0.1, 10.0.0.0/8, fd00::/8')).toEqual(['127.0.0.1', '10.0.0.0/8', 'fd00::/8']);
  });

  test.each(['10.0.0.0/33', 'proxy.local', '10.0.0', '1.2.3.4/', '1.2.3.4/8/8', 'fd00::/129'])(
    'refuses %s',
    (text) => expect(setting.parse(text)).toBeInstanceOf(InvalidValue),
  );
});
