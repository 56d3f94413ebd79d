import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { origins } from '../config/settings/kinds/network-settings.ts';
import { type CorsRules, corsHeaders, isTrustedOrigin, preflightHeaders } from './cors.ts';

const listed = { origins: ['https://a.example', 'https://b.example'], allowsCredentials: false };
const listedWithCredentials = { ...listed, allowsCredentials: true };
const anyone = { origins: '*', allowsCredentials: false } as const;
const nobody = { origins: [], allowsCredentials: false };
const subdomains = {
  origins: ['https://*.example.com', 'http://*.example.org:8080'],
  allowsCredentials: true,
};

const readableBy = (origin: string, rules: CorsRules): boolean =>
  corsHeaders(origin, rules)['access-control-allow-origin'] === origin;

describe('an answer', () => {
  test('to a listed origin names it and varies by origin', () => {
    expect(corsHeaders('https://a.example', listed)).toMatchObject({
      'access-control-allow-origin': 'https://a.example',
      vary: 'Origin',
    });
    expect(corsHeaders('https://a.example', listed)).not.toHaveProperty('access-control-allow-credentials');
    expect(corsHeaders('https://b.example', listedWithCredentials)).toMatchObject({
      'access-control-allow-credentials': 'true',
    });
  });

  test.each([undefined, 'https://c.example', 'https://a.example.evil', 'http://a.example', 'null'])(
    'to %s is for no other origin, and says that it varies',
    (origin) => {
      expect(corsHeaders(origin, listed)).toEqual({ vary: 'Origin' });
      expect(corsHeaders(origin, nobody)).toEqual({ vary: 'Origin' });
    },
  );

  test('for anyone is the same for all, whoever asks, and never with credentials', () => {
    for (const origin of ['https://a.example', 'null', undefined]) {
      for (const rules of [anyone, { ...anyone, allowsCredentials: true }]) {
        expect(corsHeaders(origin, rules)).toEqual(corsHeaders(undefined, anyone));
        expect(corsHeaders(origin, rules)).toMatchObject({ 'access-control-allow-origin': '*' });
        expect(corsHeaders(origin, rules)).not.toHaveProperty('access-control-allow-credentials');
      }
    }
  });

  test('lets scripts read the ids in its headers', () => {
    for (const rules of [listed, anyone]) {
      const exposed = corsHeaders('https://a.example', rules)['access-control-expose-headers'];
      expect(exposed).toContain('X-Connection-ID');
      expect(exposed).toContain('X-Request-ID');
    }
  });
});

describe('a pattern', () => {
  test.each([
    'https://a.example.com',
    'https://a.b.c.example.com',
    'https://xn--bcher-kva.example.com',
    'https://a_b.example.com',
    'https://127.example.com',
    'http://a.example.org:8080',
  ])('stands for %s', (origin) => expect(readableBy(origin, subdomains)).toBe(true));

  test.each([
    'null',
    '',
    '*',
    'https://example.com',
    'https://.example.com',
    'https://..example.com',
    'https://a..example.com',
    'https://-/.example.com',
    'https://evilexample.com',
    'https://evil-example.com',
    'https://a.example.com.evil.net',
    'https://example.com.evil.net',
    'https://a.example.comevil',
    'https://a.example.com.',
    'http://a.example.com',
    'wss://a.example.com',
    'ftp://a.example.com',
    'chrome-extension://a.example.com',
    'https:a.example.com',
    '//a.example.com',
    'a.example.com',
    'https://a.example.com:443',
    'https://a.example.com:8443',
    'https://a:1.example.com',
    'http://a.example.org',
    'http://a.example.org:80801',
    'https://a.example.org:8080',
    'https://evil.net/.example.com',
    'https://evil.net#.example.com',
    'https://evil.net?.example.com',
    'https://evil.net\\.example.com',
    'https://user@.example.com',
    'https://evil.net@a.example.com',
    'https://a.example.com/',
    'https://a.example.com/path',
    'https://A.example.com',
    'https://a.EXAMPLE.com',
    'HTTPS://a.example.com',
    'https://*.example.com',
    'https://a.example.com https://b.example.com',
    'https://evil.net, https://a.example.com',
    'https://evil.net,.example.com',
    ' https://a.example.com',
    'https://a.example.com\t',
    'https://a\0.example.com',
    'https://a%2eb.example.com',
    'https://[::1].example.com',
    'https://ä.example.com',
    'https://a.exampleXcom',
    'https://аexample.com',
  ])('does not stand for %j', (origin) => {
    expect(corsHeaders(origin, subdomains)).toEqual({ vary: 'Origin' });
    expect(isTrustedOrigin(origin, subdomains)).toBe(false);
  });

  test('stands for nothing but subdomains of its domain, by its scheme and port', () => {
    const anything = fc.oneof(
      fc.webUrl({ withQueryParameters: true, withFragments: true }),
      fc.string(),
      fc
        .tuple(
          fc.constantFrom('https://', 'http://', 'https:', ''),
          fc.string({ maxLength: 12 }),
          fc.constantFrom('.example.com', 'example.com', '.example.com:443', '.example.org:8080'),
          fc.constantFrom('', '', '.', '/', ':8080', '@evil.net'),
        )
        .map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(anything, (origin) => {
        if (!readableBy(origin, subdomains)) return;
        const { protocol, hostname, port, origin: serialised } = new URL(origin);
        expect(serialised).toBe(origin);
        const isFirst = protocol === 'https:' && port === '' && hostname.endsWith('.example.com');
        const isSecond = protocol === 'http:' && port === '8080' && hostname.endsWith('.example.org');
        expect(isFirst || isSecond).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test('stands for every subdomain that a browser can name', () => {
    fc.assert(
      fc.property(fc.domain(), (name) => {
        expect(readableBy(`https://${name}.example.com`, subdomains)).toBe(true);
      }),
    );
  });

  test('is kept as it is written by the setting that it stands in', () => {
    const setting = origins({ default: '*', about: 'For the test.' });
    const parsed = setting.parse('https://*.Example.com:443/, http://*.localhost:3000, https://*.a.example');
    expect(parsed).toEqual(['https://*.example.com', 'http://*.localhost:3000', 'https://*.a.example']);
    const rules = { origins: parsed as string[], allowsCredentials: false };
    expect(readableBy('http://app.localhost:3000', rules)).toBe(true);
  });
});

describe('an origin is trusted with its visitors’ cookies', () => {
  test('when it is listed and credentials are allowed', () => {
    expect(isTrustedOrigin('https://a.example', listedWithCredentials)).toBe(true);
    expect(isTrustedOrigin('https://a.example.com', subdomains)).toBe(true);
  });

  test('and not because everybody may read, or credentials are not allowed, or it has no name', () => {
    expect(isTrustedOrigin('https://a.example', listed)).toBe(false);
    expect(isTrustedOrigin('https://a.example', anyone)).toBe(false);
    expect(isTrustedOrigin('https://a.example', { ...anyone, allowsCredentials: true })).toBe(false);
    expect(isTrustedOrigin('null', subdomains)).toBe(false);
  });
});

describe('a preflight', () => {
  const preflight = { origin: 'https://a.example', requestMethod: 'POST', requestHeaders: undefined };

  test('of a listed origin is told methods and headers, and for how long that counts', () => {
    expect(preflightHeaders(preflight, listed)).toMatchObject({
      'access-control-allow-origin': 'https://a.example',
      'access-control-allow-methods': expect.stringContaining('POST'),
      'access-control-allow-headers': expect.stringContaining('Content-Type'),
      'access-control-max-age': '3600',
    });
  });

  test('of another origin is told nothing', () => {
    const headers = preflightHeaders({ ...preflight, origin: 'https://c.example' }, listed);
    expect(Object.keys(headers ?? {})).toEqual(['vary']);
  });

  test('never opens a private network to a public page', () => {
    for (const rules of [listed, listedWithCredentials, anyone, subdomains]) {
      expect(preflightHeaders(preflight, rules)).not.toHaveProperty('access-control-allow-private-network');
    }
  });

  test('cannot smuggle a header into the answer', () => {
    const headers = preflightHeaders({ ...preflight, requestHeaders: 'a\r\nset-cookie: x' }, listed);
    expect(headers?.['access-control-allow-headers']).not.toContain('cookie');
  });

  test('needs an origin and a method', () => {
    expect(preflightHeaders({ ...preflight, origin: undefined }, listed)).toBeUndefined();
    expect(preflightHeaders({ ...preflight, requestMethod: undefined }, listed)).toBeUndefined();
  });
});
