import { describe, expect, test } from 'vitest';
import { RequestError } from '../core/errors.ts';
import { type CredentialParts, credentialOf } from './credential.ts';
import { isFromOrigin, mayUseCookie } from './origin-check.ts';
import { isCanonicalBase64Url, splitToken } from './tokens/compact-token.ts';

const NONE: CredentialParts = {
  authorization: undefined,
  apiKey: undefined,
  cookie: undefined,
  target: '/sse/stream',
};
const of = (parts: Partial<CredentialParts>, cookieName: string | undefined = 'login') =>
  credentialOf({ ...NONE, ...parts }, cookieName);
const refusalOf = (parts: Partial<CredentialParts>): string => {
  try {
    of(parts);
  } catch (error) {
    return error instanceof RequestError ? `${error.code}: ${error.message}` : String(error);
  }
  return 'taken';
};

describe('a credential', () => {
  test.each<[Partial<CredentialParts>, string, string]>([
    [{ apiKey: ['k'] }, 'key', 'k'],
    [{ authorization: ['Bearer abc'] }, 'bearer', 'abc'],
    [{ authorization: ['bearer   abc '] }, 'bearer', 'abc'],
    [{ cookie: ['a=1; login=abc; b=2'] }, 'cookie', 'abc'],
    [{ cookie: ['a=1', 'login="a=b"'] }, 'cookie', 'a=b'],
    [{ target: '/sse/stream?channels=a&ticket=t.u.v' }, 'ticket', 't.u.v'],
    [{ target: '/sse/stream?%74icket=t' }, 'ticket', 't'],
  ])('in %j is found', (parts, kind, value) => {
    expect(of(parts)).toEqual({ kind, value });
  });

  test.each<Partial<CredentialParts>>([
    {},
    { apiKey: [''] },
    { apiKey: [] },
    { authorization: [' '] },
    { cookie: ['login=; other=x; Login=x; xlogin=y; login'] },
    { target: '/sse/stream?ticket=' },
    { target: '/sse/stream?ticket' },
    { target: '/sse/user/ticket=x' },
    // Parameters that are not read for credentials.
    { target: '/sse/stream?token=x&access_token=x&api_key=x&jwt=x&Ticket=x' },
  ])('is not seen in %j', (parts) => {
    expect(of(parts)).toBeUndefined();
  });

  test('is in no cookie where cookies are none', () => {
    expect(credentialOf({ ...NONE, cookie: ['undefined=x; login=x'] }, undefined)).toBeUndefined();
  });

  test.each<[Partial<CredentialParts>, RegExp]>([
    [
      { apiKey: ['k'], authorization: ['Bearer k'] },
      /several: the X-API-Key header and the Authorization header/,
    ],
    [{ authorization: ['Bearer k'], target: '/?ticket=t' }, /the Authorization header and \?ticket=/],
    [{ cookie: ['login=a'], target: '/?ticket=t' }, /the cookie and \?ticket=/],
    [{ cookie: ['login=a; login=b'] }, /the cookie must not be repeated/],
    [{ cookie: ['login=a', 'login=a'] }, /the cookie must not be repeated/],
    [{ apiKey: ['a', 'a'] }, /X-API-Key header must not be repeated/],
    [{ authorization: ['Bearer a', 'Bearer b'] }, /Authorization header must not be repeated/],
    [{ target: '/?ticket=a&ticket=b' }, /\?ticket= must not be repeated/],
    [{ target: '/?ticket=eyJhbGciOiJIUzI1NiJ9.e30.x' }, /a JWT must not be sent in a URL/],
  ])('that is not one is refused: %j', (parts, problem) => {
    expect(refusalOf(parts)).toMatch(problem);
    expect(refusalOf(parts)).toMatch(/^malformed_request: /);
  });

  test.each(['Basic dTpw', 'Bearer', 'Bearer a b', 'abc', 'Bearer\u00a0abc', 'Digest x'])(
    'of an unknown kind is refused: %j',
    (authorization) =>
      expect(refusalOf({ authorization: [authorization] })).toMatch(/^unauthorized: .*"Bearer"/),
  );
});

test('base64url has one spelling', () => {
  for (let bytes = 1; bytes < 8; bytes++) {
    const text = Buffer.alloc(bytes, 0xab).toString('base64url');
    expect(isCanonicalBase64Url(text), text).toBe(true);
    for (const letter of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_') {
      const other = text.slice(0, -1) + letter;
      const isSame = Buffer.from(other, 'base64url').equals(Buffer.from(text, 'base64url'));
      if (isSame && other !== text) expect(isCanonicalBase64Url(other), other).toBe(false);
    }
  }
  for (const text of ['', 'A', 'AAAAA', 'AA=', 'AA==', 'A+AA', 'A/AA', 'A A', 'AAA\n']) {
    expect(isCanonicalBase64Url(text), text).toBe(false);
  }
});

test('a compact token has as many parts as it must have, and no more characters than it may', () => {
  expect(splitToken('AA.AA.AA', 3, 8)).toEqual(['AA', 'AA', 'AA']);
  expect(splitToken('AA.AA.AA', 3, 7)).toBeUndefined();
  expect(splitToken('AA.AA', 3, 8)).toBeUndefined();
  expect(splitToken('AA.AA.AA.AA', 3, 80)).toBeUndefined();
  expect(splitToken('AA..AA', 3, 80)).toBeUndefined();
});

const APP = 'https://app.example.com';
const request = (more: object) => ({
  origin: undefined,
  secFetchSite: undefined,
  host: 'push.example.com',
  isSafe: true,
  ...more,
});

describe('a cookie counts', () => {
  const isTrusted = (origin: string): boolean => origin === APP;

  test.each<[string, object]>([
    ['on a page of the service itself', { secFetchSite: 'same-origin', isSafe: false }],
    ['on a page of a trusted origin', { origin: APP, secFetchSite: 'same-site', isSafe: false }],
    [
      'on a page of the same host, from a browser that says no more',
      { origin: 'https://push.example.com', isSafe: false },
    ],
    ['when a user opens the address himself', { secFetchSite: 'none' }],
    ['for looking, from a browser that says nothing', {}],
  ])('%s', (_, more) => expect(mayUseCookie(request(more), isTrusted)).toBe(true));

  test.each<[string, object]>([
    ['on a page of another origin', { origin: 'https://evil.example' }],
    ['on a page of an origin that looks alike', { origin: 'https://app.example.com.evil.example' }],
    ['on the same host at another port', { origin: 'https://push.example.com:8443' }],
    ['in a frame without an origin', { origin: 'null' }],
    ['for an image on a page of another origin', { secFetchSite: 'cross-site' }],
    ['for an image on a page of a sister domain', { secFetchSite: 'same-site' }],
    ['for acting, when nothing says whose page it is', { isSafe: false }],
    ['for acting, by the address bar', { isSafe: false, secFetchSite: 'none' }],
  ])('not %s', (_, more) => expect(mayUseCookie(request(more), isTrusted)).toBe(false));
});

test('a ticket that is bound to an origin is good on its pages only, as far as anybody can say', () => {
  expect(isFromOrigin(request({ origin: APP }), APP)).toBe(true);
  expect(isFromOrigin(request({ secFetchSite: 'same-origin' }), APP)).toBe(true);
  expect(isFromOrigin(request({}), APP)).toBe(true);
  for (const more of [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { secFetchSite: 'cross-site' },
  ]) {
    expect(isFromOrigin(request(more), APP)).toBe(false);
  }
});
