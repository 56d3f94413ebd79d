import { describe, expect, test } from 'vitest';
import { redisUrl } from './redis-url.ts';
import { InvalidValue } from './setting.ts';

const setting = redisUrl({ about: 'For the test.' });

describe('a REDIS_URL', () => {
  test.each([
    ['redis://localhost', { isTls: false, host: 'localhost', port: 6379, database: undefined }],
    ['redis://redis:6380/', { host: 'redis', port: 6380, database: undefined, credentials: undefined }],
    ['redis://10.0.0.7:6380/5', { host: '10.0.0.7', port: 6380, database: 5 }],
    ['rediss://redis/0', { isTls: true, database: 0 }],
    ['redis://[fd00::7]:6380/5', { host: 'fd00::7', port: 6380 }],
    ['redis://:secret@redis', { credentials: { username: undefined, password: 'secret' } }],
    ['redis://app:s%40%2f%3a@redis/5', { credentials: { username: 'app', password: 's@/:' } }],
    [
      'redis://app:p@ss:word@redis/5',
      { host: 'redis', credentials: { username: 'app', password: 'p@ss:word' } },
    ],
    ['redis://应用:密码@redis', { credentials: { username: '应用', password: '密码' } }],
  ])('may be %s', (text, parts) => {
    const url = setting.parse(text);
    expect(url).toMatchObject({ text, ...parts });
    expect(setting.show(url as Exclude<typeof url, InvalidValue>)).toBe(text);
  });

  test.each([
    ['localhost:6379', undefined],
    ['http://redis:6379', undefined],
    ['redis://a:1,b:2', undefined],
    ['redis://:a#hush@redis', undefined],
    ['redis://', 'it names no host'],
    ['redis://a,b/5', 'it names several servers; use REDIS_NODES for that'],
    ['redis://redis:0', 'its port is not from 1 to 65535'],
    ['redis://redis/five', 'what follows the host is not a database number from 0 to 65535'],
    ['redis://redis/5/hush', 'what follows the host is not a database number from 0 to 65535'],
    ['redis://redis/65536', 'what follows the host is not a database number from 0 to 65535'],
    ['redis://redis/5?timeout=hush', 'it has a query or a fragment'],
    ['redis://redis/5#', 'it has a query or a fragment'],
    ['redis://hush@redis', 'it has a user without a password'],
    ['redis://:%zzhush@redis', 'its user or password has a malformed percent-encoding'],
  ])('must not be %s, in words without a secret', (text, problem) => {
    const refused = setting.parse(text);
    expect(refused).toBeInstanceOf(InvalidValue);
    const said = (refused as InvalidValue).problem;
    if (problem === undefined) expect(said).toBeUndefined();
    else expect(said).toContain(problem);
    expect(said ?? '').not.toContain('hush');
  });
});
