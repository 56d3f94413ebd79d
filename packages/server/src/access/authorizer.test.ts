import { describe, expect, test } from 'vitest';
import { RequestError } from '../core/errors.ts';
import type { AccessQuestion, AccessWebhook } from './access-webhook.ts';
import { Authorizer, type RequestParts } from './authorizer.ts';
import { ChannelSet } from './channel-set.ts';
import { mayJoin, mayPublish } from './decisions.ts';
import { AUDIENCE, goodClaims, goodToken, hmacToken, ISSUER, NOW, SECRET } from './jwt-fixture.ts';
import { hashApiKey } from './keys/api-key.ts';
import { parseKeyList } from './keys/key-list.ts';
import { KeyRing } from './keys/key-ring.ts';
import type { Principal } from './principal.ts';
import { type Ticket, TicketSealer, ticketKey } from './tickets/tickets.ts';
import { createJwtKeys, KeysUnavailable } from './tokens/jwt-keys.ts';
import { JwtVerifier } from './tokens/jwt-verifier.ts';
import { Revocations } from './tokens/revocations.ts';

const APP = 'https://app.example.com';

interface Setup {
  readonly keys?: boolean;
  readonly users?: boolean;
  readonly jwt?: { verify(token: string): never };
  readonly webhook?: Pick<AccessWebhook, 'ask'>;
}

function service({ keys = true, users = true, jwt, webhook }: Setup = {}) {
  const ring = new KeyRing({ now: () => NOW });
  const list = [
    { name: 'publisher', sha256: hashApiKey('k-publisher'), scopes: ['publish'], channels: ['task:*'] },
    { name: 'reader', sha256: hashApiKey('k-reader'), scopes: ['read'], channels: ['task:*'] },
    {
      name: 'expired',
      sha256: hashApiKey('k-expired'),
      scopes: ['publish'],
      channels: ['*'],
      expires_at: '2020-01-01',
    },
  ];
  ring.replace('API_KEYS', parseKeyList(JSON.stringify(list), 'API_KEYS'));
  const revocations = new Revocations({ now: () => NOW, keepMs: 1000 });
  const sealer = new TicketSealer(ticketKey(SECRET), () => NOW);
  const refusals: string[] = [];
  const verifier = new JwtVerifier({
    keys: createJwtKeys({ kind: 'secret', secret: SECRET }, ['HS256']),
    algorithms: ['HS256'],
    issuers: [ISSUER],
    audiences: [AUDIENCE],
    clockToleranceMs: 0,
    maxLifetimeMs: 86_400_000,
    now: () => NOW,
  });
  const authorizer = new Authorizer({
    keys: keys ? ring : undefined,
    users: users
      ? { jwt: jwt ?? verifier, cookieName: 'login', isTrustedOrigin: (origin) => origin === APP }
      : undefined,
    tickets: sealer,
    revocations,
    webhook,
    onRefused: ({ by, reason }) => refusals.push(`${by}: ${reason}`),
  });
  return { authorizer, ring, revocations, sealer, refusals };
}

const request = (more: Partial<RequestParts> = {}): RequestParts => ({
  authorization: undefined,
  apiKey: undefined,
  cookie: undefined,
  target: '/sse/user/7',
  origin: undefined,
  secFetchSite: undefined,
  host: 'push.example.com',
  isSafe: true,
  ...more,
});
const bearer = (value: string): RequestParts => request({ authorization: [`Bearer ${value}`] });
const ticketOf = (more: Partial<Ticket> = {}): Omit<Ticket, 'credential'> => ({
  userId: '7',
  joins: ChannelSet.ofNames(['user:7']),
  tokenId: 'ticket-1',
  parentTokenIds: [],
  issuedAtMs: NOW,
  expiresAtMs: NOW + 60_000,
  origin: undefined,
  ...more,
});
const withTicket = (sealed: string | undefined, more: Partial<RequestParts> = {}): RequestParts =>
  request({ target: `/sse/user/7?ticket=${sealed}`, ...more });

async function outcome(act: () => unknown): Promise<string> {
  try {
    await act();
  } catch (error) {
    return error instanceof RequestError ? `${error.code}: ${error.message}` : String(error);
  }
  return 'allowed';
}
const authenticated = (authorizer: Authorizer, parts: RequestParts) =>
  outcome(() => authorizer.authenticate(parts));

describe('without anything asked for', () => {
  test('everybody may do everything, and no credential is looked at', () => {
    const { authorizer } = service({ keys: false, users: false });
    const parts = request({
      authorization: ['Basic x', 'y'],
      apiKey: ['wrong'],
      target: '/?ticket=a&ticket=b',
    });
    const principal = authorizer.authenticate(parts) as Principal;
    expect([principal.kind, mayJoin(principal, ['user:8']), mayPublish(principal, ['user:8'])]).toEqual([
      'anonymous',
      true,
      true,
    ]);
    expect(authorizer.isOn).toBe(false);
  });
});

describe('an API key', () => {
  test('is known at once, by either header', () => {
    const { authorizer } = service();
    for (const parts of [request({ apiKey: ['k-publisher'] }), bearer('k-publisher')]) {
      const principal = authorizer.authenticate(parts) as Principal;
      expect(principal).toMatchObject({ kind: 'key', credential: 'key', name: 'key:publisher' });
      expect([mayPublish(principal, ['task:1']), mayPublish(principal, ['user:1'])]).toEqual([true, false]);
    }
  });

  test('that is unknown, expired or in a place of tokens is refused in the same words', async () => {
    const { authorizer, refusals } = service();
    const words = 'unauthorized: the credential is not valid here';
    for (const key of ['wrong', 'k-expired', 'K-PUBLISHER', hashApiKey('k-publisher')]) {
      expect(await authenticated(authorizer, request({ apiKey: [key] })), key).toBe(words);
      expect(await authenticated(authorizer, bearer(key)), key).toBe(words);
    }
    expect(
      await authenticated(
        authorizer,
        request({ cookie: ['login=k-publisher'], secFetchSite: 'same-origin' }),
      ),
    ).toBe(words);
    expect(await authenticated(authorizer, withTicket('k-publisher'))).toBe(words);
    expect(await authenticated(authorizer, request({ apiKey: [await goodToken()] }))).toBe(words);
    expect(refusals.join()).not.toMatch(/k-publisher|k-expired|wrong/);
  });

  test('that is wrong is refused also where none is needed', async () => {
    const { authorizer } = service({ users: false });
    expect(await authenticated(authorizer, bearer('wrong'))).toMatch(/^unauthorized/);
    expect(await authenticated(authorizer, bearer(await goodToken()))).toMatch(/^unauthorized/);
    expect(authorizer.authenticate(request()) as Principal).toMatchObject({ kind: 'anonymous' });
  });

  test('where keys are not asked for is none', async () => {
    const { authorizer } = service({ keys: false });
    expect(await authenticated(authorizer, request({ apiKey: ['k-publisher'] }))).toMatch(/^unauthorized/);
    expect(await authenticated(authorizer, bearer('k-publisher'))).toMatch(/^unauthorized/);
  });
});

describe('a token', () => {
  test('makes a user, by header and by cookie', async () => {
    const { authorizer } = service();
    const token = await goodToken(goodClaims({ channels: ['task:*'], jti: 'jwt-1' }));
    const byCookie = request({ cookie: [`a=b; login=${token}`], origin: APP });
    for (const parts of [bearer(token), byCookie]) {
      const principal = await authorizer.authenticate(parts);
      expect(principal).toMatchObject({ kind: 'user', credential: 'jwt', userId: '7', tokenId: 'jwt-1' });
      expect([mayJoin(principal, ['user:7', 'task:1']), mayJoin(principal, ['user:8'])]).toEqual([
        true,
        false,
      ]);
      expect(mayPublish(principal, ['user:7'])).toBe(false);
    }
  });

  test('says why it is refused to whoever got it rightly, and to others only that it is', async () => {
    const { authorizer, refusals } = service();
    const refusalOf = (claims: object, secret = SECRET) =>
      authenticated(authorizer, bearer(hmacToken({ alg: 'HS256' }, goodClaims(claims), secret)));
    expect(await refusalOf({ exp: 1 })).toBe('unauthorized: the token has expired');
    expect(await refusalOf({ exp: 1 }, 'guess')).toBe('unauthorized: the credential is not valid here');
    expect(await refusalOf({ nbf: 1e12 })).toBe('unauthorized: the token is not valid yet');
    expect(await refusalOf({ aud: 'other' })).toBe(
      'unauthorized: the token has a different issuer or audience',
    );
    expect(await refusalOf({ channels: 7 })).toBe('unauthorized: a claim of the token is unusable');
    expect(refusals).toHaveLength(5);
    expect(refusals[4]).toBe('bearer: its channels claim must be an array of channel names and patterns');
  });

  test('that was revoked, or whose user was, is refused', async () => {
    const { authorizer, revocations } = service();
    const first = await goodToken(goodClaims({ jti: 'jwt-1' }));
    const second = await goodToken(goodClaims({ jti: 'jwt-2' }));
    await revocations.revoke('token', 'jwt-1');
    expect(await authenticated(authorizer, bearer(first))).toMatch(/^unauthorized/);
    expect(await authenticated(authorizer, bearer(second))).toBe('allowed');
    await revocations.revoke('user', '7');
    expect(await authenticated(authorizer, bearer(second))).toMatch(/^unauthorized/);
  });

  test('in a cookie counts on no page of a stranger, good or not', async () => {
    const { authorizer } = service();
    const cookie = [`login=${await goodToken()}`];
    for (const more of [
      { origin: 'https://evil.example' },
      { secFetchSite: 'cross-site' },
      { isSafe: false },
    ]) {
      expect(await authenticated(authorizer, request({ cookie, ...more }))).toMatch(
        /^forbidden: a cookie is accepted only/,
      );
    }
    expect(
      await authenticated(authorizer, request({ cookie, secFetchSite: 'same-origin', isSafe: false })),
    ).toBe('allowed');
  });

  test('is not refused as bad while the keys of its issuer cannot be had', async () => {
    const { authorizer } = service({
      jwt: {
        verify: () => {
          throw new KeysUnavailable(undefined);
        },
      },
    });
    expect(await authenticated(authorizer, bearer('a.b.c'))).toMatch(/^authorization_unavailable/);
  });

  test('is one of several credentials', async () => {
    const { authorizer } = service();
    const parts = { ...bearer(await goodToken()), apiKey: ['k-publisher'] };
    expect(await authenticated(authorizer, parts)).toMatch(
      /^malformed_request: a request must carry one credential/,
    );
  });
});

describe('a ticket', () => {
  test('makes the user that it was made for, and is bound to its channels', async () => {
    const { authorizer, sealer } = service();
    const principal = await authorizer.authenticate(withTicket(await sealer.seal(ticketOf())));
    expect(principal).toMatchObject({
      kind: 'user',
      credential: 'ticket',
      userId: '7',
      expiresAtMs: NOW + 60_000,
    });
    expect([mayJoin(principal, ['user:7']), mayJoin(principal, ['user:8'])]).toEqual([true, false]);
  });

  test('is refused on a page of another origin, when it was made for one', async () => {
    const { authorizer, sealer } = service();
    const bound = await sealer.seal(ticketOf({ origin: APP }));
    expect(await authenticated(authorizer, withTicket(bound, { origin: APP }))).toBe('allowed');
    expect(await authenticated(authorizer, withTicket(bound, { origin: 'https://evil.example' }))).toBe(
      'unauthorized: the credential is not valid here',
    );
    expect(await authenticated(authorizer, withTicket(bound, { secFetchSite: 'cross-site' }))).toMatch(
      /^unauthorized/,
    );
  });

  test('is refused when it, what it was made from, or its user was revoked, or it has expired', async () => {
    const { authorizer, revocations, sealer } = service();
    const one = withTicket(await sealer.seal(ticketOf({ parentTokenIds: ['jwt-1'] })));
    const other = withTicket(await sealer.seal(ticketOf({ tokenId: 'ticket-2' })));
    await revocations.revoke('token', 'jwt-1');
    expect(await authenticated(authorizer, one)).toMatch(/^unauthorized/);
    expect(await authenticated(authorizer, other)).toBe('allowed');
    await revocations.revoke('token', 'ticket-2');
    expect(await authenticated(authorizer, other)).toMatch(/^unauthorized/);
    const over = withTicket(await sealer.seal(ticketOf({ expiresAtMs: NOW })));
    expect(await authenticated(authorizer, over)).toBe('unauthorized: the token has expired');
  });

  test('is read also where streams are open to all', async () => {
    const { authorizer, sealer } = service({ users: false });
    expect(await authorizer.authenticate(withTicket(await sealer.seal(ticketOf())))).toMatchObject({
      userId: '7',
    });
    expect(await authenticated(authorizer, withTicket('x'))).toMatch(/^unauthorized/);
  });
});

describe('a stream is admitted', () => {
  const user = async (setup: ReturnType<typeof service>, claims: object = {}) =>
    setup.authorizer.authenticate(bearer(await goodToken(goodClaims(claims))));
  const admitted = (setup: ReturnType<typeof service>, principal: Principal, ...channels: string[]) =>
    outcome(() => setup.authorizer.admit(principal, [...channels, 'broadcast'], '10.0.0.1'));

  test('by what its credential says, where nobody else is asked', async () => {
    const setup = service();
    expect(await admitted(setup, await user(setup), 'user:7')).toBe('allowed');
    expect(await admitted(setup, await user(setup), 'user:7', 'task:1')).toMatch(
      /^forbidden: this token may not join "task:1"/,
    );
    expect(
      await admitted(setup, (await setup.authorizer.authenticate(request())) as Principal, 'user:7'),
    ).toMatch(/^unauthorized/);
    const reader = (await setup.authorizer.authenticate(bearer('k-reader'))) as Principal;
    expect(await admitted(setup, reader, 'task:1')).toBe('allowed');
    expect(await admitted(setup, reader, 'user:7')).toMatch(/^forbidden: this API key/);
  });

  function asking(answer: { isAllowed: boolean; channels?: string[] }) {
    const questions: AccessQuestion[] = [];
    const webhook = {
      ask: (question: AccessQuestion) => {
        questions.push(question);
        const { isAllowed, channels } = answer;
        return { isAllowed, channels: channels === undefined ? undefined : ChannelSet.ofPatterns(channels) };
      },
    };
    return { questions, ...service({ webhook }) };
  }

  test('when the application says so, also to what the token does not name', async () => {
    const setup = asking({ isAllowed: true });
    expect(await admitted(setup, await user(setup), 'user:7', 'task:1')).toBe('allowed');
    expect(setup.questions).toEqual([{ userId: '7', channels: ['user:7', 'task:1'], clientIp: '10.0.0.1' }]);
    const some = asking({ isAllowed: true, channels: ['user:7', 'kb:*'] });
    expect(await admitted(some, await user(some), 'user:7', 'kb:1')).toBe('allowed');
    expect(await admitted(some, await user(some), 'user:7', 'task:1')).toMatch(/^forbidden: the application/);
    expect(await admitted(some, await user(some))).toBe('allowed');
  });

  test('and not when it says no, whatever the token says', async () => {
    const setup = asking({ isAllowed: false });
    expect(await admitted(setup, await user(setup, { channels: ['*'] }), 'user:7')).toMatch(
      /^forbidden: the application/,
    );
    expect(await admitted(setup, await user(setup))).toMatch(/^forbidden: the application/);
  });

  test('never to the channels of another person by the application, nor with a ticket beyond what it is for', async () => {
    const setup = asking({ isAllowed: true });
    for (const channel of ['user:8', 'session:x']) {
      expect(await admitted(setup, await user(setup), channel)).toMatch(
        /^forbidden: this token may not join/,
      );
    }
    const ticket = await setup.authorizer.authenticate(withTicket(await setup.sealer.seal(ticketOf())));
    expect(await admitted(setup, ticket, 'user:7')).toBe('allowed');
    expect(await admitted(setup, ticket, 'user:7', 'task:1')).toMatch(
      /^forbidden: this ticket may not join "task:1"/,
    );
    expect(setup.questions.map(({ channels }) => channels)).toEqual([['user:7']]);
  });

  test('without asking the application of keys and of nobody', async () => {
    const setup = asking({ isAllowed: false });
    const reader = (await setup.authorizer.authenticate(bearer('k-reader'))) as Principal;
    expect(await admitted(setup, reader, 'task:1')).toBe('allowed');
    expect(setup.questions).toEqual([]);
  });
});
