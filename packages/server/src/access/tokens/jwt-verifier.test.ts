import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { type Forgery, forgeriesOfPublicKey, forgeriesOfSecret } from '../forged-tokens-fixture.ts';
import {
  AUDIENCE,
  ec,
  ed,
  goodClaims,
  goodToken,
  hmacToken,
  ISSUER,
  NOW,
  NOW_SECONDS,
  pemOf,
  rsa,
  rsaToken,
  SECRET,
} from '../jwt-fixture.ts';
import { createJwtKeys, type JwtKeySource, KeysUnavailable } from './jwt-keys.ts';
import { userOfToken } from './jwt-user.ts';
import { JwtVerifier, type JwtVerifierOptions, TokenRefused } from './jwt-verifier.ts';

const DAY_MS = 86_400_000;

function verifier(
  source: JwtKeySource,
  algorithms: string[],
  more: Partial<JwtVerifierOptions> = {},
): JwtVerifier {
  return new JwtVerifier({
    keys: createJwtKeys(source, algorithms),
    algorithms,
    issuers: [ISSUER],
    audiences: [AUDIENCE],
    clockToleranceMs: 5000,
    maxLifetimeMs: 30 * DAY_MS,
    now: () => NOW,
    ...more,
  });
}

const bySecret = (more: Partial<JwtVerifierOptions> = {}): JwtVerifier =>
  verifier({ kind: 'secret', secret: SECRET }, ['HS256'], more);
const byRsa = (): JwtVerifier => verifier({ kind: 'publicKey', pem: pemOf(rsa.publicKey) }, ['RS256']);

async function problemOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return error instanceof TokenRefused ? error.problem : String(error);
  }
  return 'verified';
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe('a good token', () => {
  test('is verified by a secret, and by keys of every kind', async () => {
    const expected = { claims: goodClaims(), expiresAtMs: NOW + 600_000, issuedAtMs: NOW };
    expect(await bySecret().verify(await goodToken())).toMatchObject(expected);
    const keys = [
      ['RS256', rsa],
      ['PS256', rsa],
      ['ES256', ec],
      ['EdDSA', ed],
    ] as const;
    for (const [alg, { publicKey, privateKey }] of keys) {
      const source = { kind: 'publicKey', pem: pemOf(publicKey) } as const;
      const token = await goodToken(goodClaims(), privateKey, { alg, typ: 'at+jwt', kid: 'any' });
      expect(await verifier(source, [alg]).verify(token), alg).toMatchObject(expected);
    }
  });

  test('costs one verification', async () => {
    const verify = vi.spyOn(crypto.subtle, 'verify');
    await bySecret().verify(await goodToken());
    expect(verify).toHaveBeenCalledTimes(1);
  });

  test('may name several audiences, and be of one of several issuers', async () => {
    const token = await goodToken(goodClaims({ aud: ['other', AUDIENCE], iss: 'second' }));
    expect(await problemOf(bySecret({ issuers: [ISSUER, 'second'] }).verify(token))).toBe('verified');
  });

  test('may be a little early or late', async () => {
    const late = goodClaims({ exp: NOW_SECONDS - 4 });
    const early = goodClaims({ nbf: NOW_SECONDS + 5, iat: NOW_SECONDS + 5 });
    expect(await problemOf(bySecret().verify(await goodToken(late)))).toBe('verified');
    expect(await problemOf(bySecret().verify(await goodToken(early)))).toBe('verified');
  });

  test('is known by its id, and without a usable one by its bytes', async () => {
    const idOf = async (token: string) => (await bySecret().verify(token)).tokenId;
    expect(await idOf(await goodToken(goodClaims({ jti: 'token-1' })))).toBe('token-1');
    const [one, other] = [await goodToken(), await goodToken(goodClaims({ sub: '8' }))];
    expect(await idOf(one)).toMatch(/^sha256:[\w-]{43}$/);
    expect(await idOf(one)).toBe(await idOf(one));
    expect(await idOf(one)).not.toBe(await idOf(other));
    expect(await idOf(await goodToken(goodClaims({ jti: 'a b\n' })))).toMatch(/^sha256:/);
  });

  test('ends at its exp, at the latest JWT_MAX_LIFETIME after its iat', async () => {
    const endOf = async (claims: object, more = {}) =>
      (await bySecret(more).verify(hmacToken({ alg: 'HS256' }, goodClaims(claims)))).expiresAtMs - NOW;
    expect(await endOf({})).toBe(600_000);
    expect(await endOf({ exp: NOW_SECONDS + 1e8 })).toBe(30 * DAY_MS);
    expect(await endOf({ exp: undefined })).toBe(30 * DAY_MS);
    expect(await endOf({ iat: undefined })).toBe(600_000);
    expect(await endOf({}, { maxLifetimeMs: 60_000 })).toBe(60_000);
  });

  test('that names no audience needs none, and one that names some is for nobody else', async () => {
    const open = bySecret({ issuers: [], audiences: [] });
    expect(await problemOf(open.verify(hmacToken({ alg: 'HS256' }, goodClaims({ aud: undefined }))))).toBe(
      'verified',
    );
    expect(await problemOf(open.verify(await goodToken()))).toBe('not_for_us');
  });
});

function cpuMicroseconds(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return user + system;
}

const suites: [string, () => JwtVerifier, () => Forgery[], () => string][] = [
  ['a secret', () => bySecret(), forgeriesOfSecret, () => hmacToken({ alg: 'HS256' }, goodClaims())],
  ['a public key', byRsa, forgeriesOfPublicKey, () => rsaToken({ alg: 'RS256' }, goodClaims())],
];

describe.each(suites)('against %s', (_, create, forgeriesOf, good) => {
  const forgeries = forgeriesOf();
  const jwts = create();

  test('there are more than fifty forgeries, and the token that they are made from is good', async () => {
    expect(forgeries.length).toBeGreaterThan(50);
    expect(await problemOf(jwts.verify(good()))).toBe('verified');
  });

  test.each(forgeries.map(({ name, ...forgery }) => [name, forgery] as const))(
    '%s is refused, and costs one verification at most',
    async (_name, { token, isSigned }) => {
      const verify = vi.spyOn(crypto.subtle, 'verify');
      const problem = await problemOf(jwts.verify(token));
      expect(['invalid', 'expired', 'not_yet_valid', 'not_for_us', 'unusable_claims']).toContain(problem);
      // Somebody without the key learns nothing more.
      if (isSigned === undefined) expect(problem).toBe('invalid');
      expect(verify.mock.calls.length).toBeLessThanOrEqual(1);
    },
  );

  test('no forgery costs much more than a good token', async () => {
    const costOf = async (token: string): Promise<number> => {
      const started = process.cpuUsage();
      for (let i = 0; i < 20; i++) await problemOf(jwts.verify(token));
      return cpuMicroseconds(started) / 20;
    };
    await costOf(good());
    const ofGood = await costOf(good());
    for (const { name, token } of forgeries) {
      // 5 ms of CPU are allowed; a good token takes a fraction of 1 ms.
      expect(await costOf(token), name).toBeLessThan(Math.max(5000, 10 * ofGood));
    }
  });
});

describe('a public key', () => {
  test.each<[string, string, string, RegExp]>([
    [
      'private',
      rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
      'RS256',
      /holds a private key/,
    ],
    ['broken', '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----', 'RS256', /neither a public key/],
    [
      'of another kind',
      pemOf(ec.publicKey),
      'RS256',
      /cannot be used with JWT_ALGORITHM RS256; it can be used with ES256/,
    ],
    [
      'of another curve',
      pemOf(ec.publicKey),
      'ES384',
      /cannot be used with JWT_ALGORITHM ES384; it can be used with ES256/,
    ],
  ])('that is %s stops the start', (_, pem, algorithm, problem) => {
    expect(() => createJwtKeys({ kind: 'publicKey', pem }, [algorithm])).toThrow(problem);
  });
});

describe('claims', () => {
  const joinsOf = (claims: object): string[] => {
    const token = { claims: goodClaims(claims), tokenId: 't', issuedAtMs: NOW, expiresAtMs: NOW + 1 };
    return userOfToken(token).joins.toPatterns().sort();
  };

  test.each<[object, string[]]>([
    [{}, ['user:7']],
    [{ sub: 7 }, ['user:7']],
    [{ sid: 's1' }, ['session:s1', 'user:7']],
    [{ channels: ['task:*', 'news', 'user:7'] }, ['channel:news', 'task:*', 'user:7']],
    [{ channels: 'kb:1' }, ['kb:1', 'user:7']],
    [{ channels: ['*'] }, ['*']],
    [{ sub: undefined, channels: ['kb:1'] }, ['kb:1']],
    [{ sub: undefined }, []],
    // `sid` is a claim of OpenID Connect and may hold anything.
    [{ sid: { a: 1 } }, ['user:7']],
    [{ sid: 's'.repeat(500) }, ['user:7']],
  ])('%j join %j', (claims, channels) => {
    expect(joinsOf(claims)).toEqual(channels);
  });

  test('a user who is called * is one user', () => {
    const token = { claims: { sub: '*' }, tokenId: 't', issuedAtMs: NOW, expiresAtMs: NOW + 1 };
    const { joins } = userOfToken(token);
    expect([joins.has('user:*'), joins.has('user:7')]).toEqual([true, false]);
  });

  test.each([
    { sub: '' },
    { sub: 1.5 },
    { sub: true },
    { sub: null },
    { sub: ['7'] },
    { sub: 'a\nb' },
    { sub: 's'.repeat(129) },
    { channels: {} },
    { channels: 7 },
    { channels: [7] },
    { channels: ['a*b'] },
    { channels: [''] },
    { channels: Array(257).fill('a') },
  ])('%j refuse the token', (claims) => {
    expect(() => joinsOf(claims)).toThrow(TokenRefused);
  });
});

describe('the key set of an issuer', () => {
  let server: Server | undefined;
  let fetches = 0;

  async function issuer(answer: RequestListener): Promise<string> {
    fetches = 0;
    server = createServer((request, response) => {
      fetches++;
      answer(request, response);
    });
    await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`;
  }
  afterEach(async () => {
    server?.closeAllConnections();
    await new Promise((resolve) => (server === undefined ? resolve(undefined) : server.close(resolve)));
    server = undefined;
  });

  const jwk = (kid: string) => ({
    ...rsa.publicKey.export({ format: 'jwk' }),
    kid,
    alg: 'RS256',
    use: 'sig',
  });
  const token = (kid?: string): Promise<string> =>
    goodToken(goodClaims(), rsa.privateKey, { alg: 'RS256', ...(kid === undefined ? {} : { kid }) });
  const withKeys =
    (...keys: object[]): RequestListener =>
    (_, response) =>
      response.end(JSON.stringify({ keys }));

  test('is fetched once, and verifies by the kid', async () => {
    const jwts = verifier({ kind: 'jwks', url: await issuer(withKeys(jwk('a'))) }, ['RS256']);
    expect(await problemOf(jwts.verify(await token('a')))).toBe('verified');
    expect(await problemOf(jwts.verify(await token()))).toBe('verified');
    expect(fetches).toBe(1);
  });

  test('is not asked again for every token of an unknown key', async () => {
    const jwts = verifier({ kind: 'jwks', url: await issuer(withKeys(jwk('a'))) }, ['RS256']);
    for (let i = 0; i < 20; i++)
      expect(await problemOf(jwts.verify(await token(`unknown ${i}`)))).toBe('invalid');
    expect(fetches).toBe(1);
  });

  test('of several keys needs a kid, and does not try them all', async () => {
    const verify = vi.spyOn(crypto.subtle, 'verify');
    const jwts = verifier({ kind: 'jwks', url: await issuer(withKeys(jwk('a'), jwk('b'))) }, ['RS256']);
    expect(await problemOf(jwts.verify(await token()))).toBe('invalid');
    expect(verify).not.toHaveBeenCalled();
    expect(await problemOf(jwts.verify(await token('b')))).toBe('verified');
  });

  test.each<[string, RequestListener]>([
    ['answers 500', (_, response) => response.writeHead(500).end()],
    ['answers with a page', (_, response) => response.end('<html>')],
    ['answers with no key set', (_, response) => response.end('{"keys":7}')],
    ['leads elsewhere', (_, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()],
    ['answers without end', (_, response) => response.end('x'.repeat(300_000))],
    ['hangs up', (request) => request.socket.destroy()],
  ])('that %s refuses no token as bad, and is not asked at once again', async (_, answer) => {
    const errors: string[] = [];
    const url = await issuer(answer);
    const keys = createJwtKeys({ kind: 'jwks', url }, ['RS256'], ({ message }) => errors.push(message));
    const jwts = verifier({ kind: 'jwks', url }, ['RS256'], { keys });
    await expect(jwts.verify(await token('a'))).rejects.toThrow(KeysUnavailable);
    await expect(jwts.verify(await token('a'))).rejects.toThrow(KeysUnavailable);
    expect(fetches).toBe(1);
    expect(errors).toHaveLength(1);
  });

  test('a token that names another algorithm is refused before the set is asked', async () => {
    const jwts = verifier({ kind: 'jwks', url: await issuer(withKeys(jwk('a'))) }, ['RS256']);
    expect(await problemOf(jwts.verify(hmacToken({ alg: 'HS256', kid: 'a' }, goodClaims())))).toBe('invalid');
    expect(fetches).toBe(0);
  });
});
