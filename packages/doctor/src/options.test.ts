import { describe, expect, it } from 'vitest';
import { type DoctorOptions, parseOptions } from './options.ts';

function parse(...args: readonly string[]): DoctorOptions {
  const options = parseOptions(args, { LANG: 'en_US.UTF-8' }, () => 'random');
  if (options === undefined) throw new Error('help');
  return options;
}

function jwt(claims: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'HS256' })}.${part(claims)}.signature`;
}

describe('the arguments', () => {
  it('are the URL, and what is usual', () => {
    expect(parse('https://push.example.com')).toMatchObject({
      userId: 'doctor-random',
      seconds: 40,
      servicePort: 8089,
      metricsPort: 9090,
      language: 'en',
    });
  });

  it('keep the path before /sse/, and nothing after it', () => {
    expect(parse('https://example.com/push/?x=1#y').url.href).toBe('https://example.com/push');
  });

  it('take the user from the JWT, unless it is named', () => {
    expect(parse('http://a', '--token', jwt({ sub: 'alice' })).userId).toBe('alice');
    expect(parse('http://a', '--token', jwt({ sub: 7 })).userId).toBe('7');
    expect(parse('http://a', '--token', jwt({ sub: 'alice' }), '--user', 'bob').userId).toBe('bob');
    expect(parse('http://a', '--token', 'a-ticket').userId).toBe('doctor-random');
  });

  it('lead to other places, for one port or for all', () => {
    expect(parse('http://a', '--connect', '443:[::1]:8443', '--connect', 'proxy:80').detours).toEqual([
      { urlPort: 443, host: '::1', port: 8443 },
      { urlPort: undefined, host: 'proxy', port: 80 },
    ]);
  });

  it.each([
    ['ftp://a'],
    ['http://a', 'http://b'],
    ['http://a', '--seconds', '1'],
    ['http://a', '--lang', 'fr'],
    ['http://a', '--token', 'eyJ.!.x'],
    ['http://a', '--pid', '0'],
    ['http://a', '--unknown'],
  ])('are refused when they are wrong: %j %j %j', (...args) => {
    expect(() => parse(...args)).toThrow();
  });
});
