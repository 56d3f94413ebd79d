import { describe, expect, test } from 'vitest';
import { corsHeaders, preflightHeaders } from './cors.ts';

const listed = { origins: ['https://a.example', 'https://b.example'], allowsCredentials: false };
const listedWithCredentials = { ...listed, allowsCredentials: true };
const anyone = { origins: '*', allowsCredentials: false } as const;
const anyoneWithCredentials = { origins: '*', allowsCredentials: true } as const;
const nobody = { origins: [], allowsCredentials: false };

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

  test('for anyone is the same for all, and without credentials', () => {
    expect(corsHeaders('https://a.example', anyone)).toMatchObject({ 'access-control-allow-origin': '*' });
    expect(corsHeaders('null', anyone)).toMatchObject({ 'access-control-allow-origin': '*' });
    expect(corsHeaders(undefined, anyone)).toEqual({});
  });

  test('for anyone with credentials names the origin, but never null', () => {
    expect(corsHeaders('https://a.example', anyoneWithCredentials)).toMatchObject({
      'access-control-allow-origin': 'https://a.example',
      'access-control-allow-credentials': 'true',
    });
    expect(corsHeaders('null', anyoneWithCredentials)).toEqual({ vary: 'Origin' });
  });

  test('lets scripts read the ids in its headers', () => {
    for (const rules of [listed, anyone]) {
      const exposed = corsHeaders('https://a.example', rules)['access-control-expose-headers'];
      expect(exposed).toContain('X-Connection-ID');
      expect(exposed).toContain('X-Request-ID');
    }
  });
});

describe('a preflight', () => {
  const preflight = { origin: 'https://a.example', requestMethod: 'POST', requestHeaders: undefined };

  test('of a listed origin is told methods and headers', () => {
    expect(preflightHeaders(preflight, listed)).toMatchObject({
      'access-control-allow-origin': 'https://a.example',
      'access-control-allow-methods': expect.stringContaining('POST'),
      'access-control-allow-headers': expect.stringContaining('Content-Type'),
    });
  });

  test('of another origin is told nothing', () => {
    const headers = preflightHeaders({ ...preflight, origin: 'https://c.example' }, listed);
    expect(Object.keys(headers ?? {})).toEqual(['vary']);
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
