import { describe, expect, test } from 'vitest';
import { redactHeaders, redactUrl } from './redact.ts';

describe('redactUrl', () => {
  test.each([
    ['/sse/user/1?ticket=abc', '/sse/user/1?ticket=***'],
    ['/sse/user/1?a=1&token=abc&b=2', '/sse/user/1?a=1&token=***&b=2'],
    ['/s?access_token=a.b.c#top', '/s?access_token=***#top'],
    [
      '/s?accessToken=x&API_KEY=x&api-key=x&apikey=x',
      '/s?accessToken=***&API_KEY=***&api-key=***&apikey=***',
    ],
    [
      '/s?password=x&client_secret=y&jwt=z&auth=q&key=k',
      '/s?password=***&client_secret=***&jwt=***&auth=***&key=***',
    ],
    ['/s?%74oken=x&to%6Ben=y', '/s?%74oken=***&to%6Ben=***'],
    ['/s?token=a=b=c', '/s?token=***'],
    ['/s?token=', '/s?token=***'],
    ['redis://user:p@ss@host:6379/5', 'redis://***@host:6379/5'],
    ['connect to rediss://:hush@host failed', 'connect to rediss://***@host failed'],
    ['GET http://h/s?ticket=abc failed', 'GET http://h/s?ticket=*** failed'],
  ])('%s', (url, redacted) => expect(redactUrl(url)).toBe(redacted));

  test.each([
    '/sse/user/token?session_id=1&channels=a,b&last_event_id=x~1.y&since=all',
    '/sse/health',
    'someone@example.com = a person',
    '/s?',
    '/s?%zz=1&%=2',
  ])('leaves %s as it is', (url) => expect(redactUrl(url)).toBe(url));

  test('takes time in proportion to the length of a hostile URL', () => {
    const url = `/s?${'&'.repeat(20_000)}${'a'.repeat(20_000)}${'?a'.repeat(20_000)}=//${'@'.repeat(20_000)}`;
    const start = performance.now();
    redactUrl(url);
    redactUrl(`${'://'.repeat(10_000)}@`);
    expect(performance.now() - start).toBeLessThan(1000);
  });
});

test('headers that carry credentials are masked, in any case of letters', () => {
  expect(
    redactHeaders({
      Authorization: 'Bearer x',
      cookie: 'a=b',
      'X-API-Key': 'k',
      referer: 'http://h/?token=x',
      accept: 'text/event-stream',
      'set-cookie': ['a=b'],
    }),
  ).toEqual({
    Authorization: '***',
    cookie: '***',
    'X-API-Key': '***',
    referer: 'http://h/?token=***',
    accept: 'text/event-stream',
    'set-cookie': '***',
  });
});
