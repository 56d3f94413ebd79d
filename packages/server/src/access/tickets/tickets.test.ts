import { describe, expect, test } from 'vitest';
import { RequestError } from '../../core/errors.ts';
import { ChannelSet } from '../channel-set.ts';
import { hmacToken, NOW, SECRET } from '../jwt-fixture.ts';
import { anonymous, floorOf, keyPrincipal, type Principal, type Scope, userPrincipal } from '../principal.ts';
import { TokenRefused } from '../tokens/jwt-verifier.ts';
import { TicketOffice } from './ticket-office.ts';
import { planTicket, readTicketBody } from './ticket-request.ts';
import { MAX_TICKET_CHARS, newTicketId, type Ticket, TicketSealer, ticketKey } from './tickets.ts';

const ticket = (more: Partial<Ticket> = {}): Omit<Ticket, 'credential'> => ({
  userId: '7',
  joins: ChannelSet.ofNames(['user:7']).union(ChannelSet.ofPatterns(['task:*'])),
  tokenId: newTicketId(),
  parentTokenIds: ['jwt-1'],
  issuedAtMs: NOW + 123,
  expiresAtMs: NOW + 600_000,
  origin: 'https://app.example.com',
  ...more,
});
const sealer = (secret: string | undefined = SECRET, now = () => NOW) =>
  new TicketSealer(ticketKey(secret), now);
const seal = async (more: Partial<Ticket> = {}): Promise<string> => {
  const sealed = await sealer().seal(ticket(more));
  if (sealed === undefined) throw new Error('the ticket is too long');
  return sealed;
};
async function problemOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return error instanceof TokenRefused ? error.problem : String(error);
  }
  return 'good';
}

describe('a ticket', () => {
  test('says at any node what it said when it was made, and to nobody else anything', async () => {
    const sealed = await seal({ tokenId: 'ticket-1' });
    expect(await sealer().unseal(sealed)).toEqual({
      ...ticket({ tokenId: 'ticket-1' }),
      credential: 'ticket',
      joins: expect.objectContaining({}),
    });
    const { joins } = await sealer().unseal(sealed);
    expect([joins.has('user:7'), joins.has('task:1'), joins.has('user:8')]).toEqual([true, true, false]);
    for (const part of sealed.split('.')) {
      expect(Buffer.from(part, 'base64url').toString('latin1')).not.toMatch(/user|task|example/);
    }
    expect(sealed).not.toContain('eyJ');
  });

  test('may be used again and again until it expires', async () => {
    let now = NOW;
    const sealed = await seal();
    const later = sealer(SECRET, () => now);
    for (now of [NOW, NOW + 1, NOW + 599_999]) expect(await problemOf(later.unseal(sealed))).toBe('good');
    now = NOW + 600_000;
    expect(await problemOf(later.unseal(sealed))).toBe('expired');
  });

  test('fits into a URL, or is not made', async () => {
    expect((await seal()).length).toBeLessThan(600);
    const channels = (count: number) =>
      ChannelSet.ofNames(Array.from({ length: count }, (_, i) => `channel:${'x'.repeat(100)}${i}`));
    expect((await seal({ joins: channels(24) })).length).toBeLessThan(MAX_TICKET_CHARS);
    expect(await sealer().seal(ticket({ joins: channels(40) }))).toBeUndefined();
  });

  test('is refused with any of its characters changed, left out or doubled', async () => {
    const sealed = await seal();
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.';
    for (let i = 0; i < sealed.length; i++) {
      const [before, at, after] = [sealed.slice(0, i), sealed[i] as string, sealed.slice(i + 1)];
      const next = alphabet[(alphabet.indexOf(at) + 1) % alphabet.length] as string;
      for (const changed of [before + next + after, before + after, before + at + at + after]) {
        expect(await problemOf(sealer().unseal(changed)), `${i}: ${changed}`).toBe('invalid');
      }
    }
  });

  test('ends with one spelling only', async () => {
    const sealed = await seal();
    for (const letter of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_') {
      const other = sealed.slice(0, -1) + letter;
      expect(await problemOf(sealer().unseal(other))).toBe(other === sealed ? 'good' : 'invalid');
    }
  });

  test('of another secret, of parts of two, or of another form is none', async () => {
    const sealed = await seal();
    const [iv, , tag] = sealed.split('.');
    const body = (await seal({ userId: '8' })).split('.')[1];
    const jwe = `${Buffer.from('{"alg":"dir","enc":"A256GCM"}').toString('base64url')}..${sealed}`;
    const others = ['', '..', `${iv}.${body}.${tag}`, jwe, hmacToken({ alg: 'HS256' }, {}), 'x'.repeat(5000)];
    for (const other of others) expect(await problemOf(sealer().unseal(other)), other).toBe('invalid');
    expect(await problemOf(sealer(`${SECRET}x`).unseal(sealed))).toBe('invalid');
  });

  test('without a secret is good at the process that made it only', async () => {
    const key = ticketKey(undefined);
    const own = new TicketSealer(key, () => NOW);
    const sealed = (await own.seal(ticket())) as string;
    expect(await problemOf(own.unseal(sealed))).toBe('good');
    expect(await problemOf(new TicketSealer(ticketKey(undefined), () => NOW).unseal(sealed))).toBe('invalid');
  });

  test("is not sealed with the JWTs' secret itself", () => {
    expect(Buffer.from(ticketKey(SECRET)).toString('latin1')).not.toContain(SECRET.slice(0, 8));
    expect(ticketKey(SECRET)).toHaveLength(32);
  });
});

describe('a request for a ticket', () => {
  const closed = floorOf({ keys: true, users: true });
  const rules = { ttlMs: 600_000, maxTtlMs: 3_600_000 };
  const key = (channels: string[], scopes: Scope[] = ['manage']): Principal =>
    keyPrincipal(
      { name: 'app', scopes, channels: ChannelSet.ofPatterns(channels), expiresAtMs: undefined },
      closed,
    );
  const user = (more: object = {}): Principal =>
    userPrincipal(
      {
        credential: 'jwt',
        userId: '7',
        joins: ChannelSet.ofPatterns(['user:7', 'session:s', 'task:*']),
        tokenId: 'jwt-1',
        parentTokenIds: [],
        issuedAtMs: NOW - 1000,
        expiresAtMs: NOW + 300_000,
        ...more,
      },
      closed,
    );
  const plan = (principal: Principal, body: unknown, pageOrigin?: string) => {
    const wish = readTicketBody(body, rules);
    const planned = planTicket(principal, wish, rules, { tokenId: 't', nowMs: NOW, pageOrigin });
    return { ...planned, joins: planned.joins.toPatterns().sort() };
  };
  const refusalOf = (principal: Principal, body: unknown): string => {
    try {
      plan(principal, body);
    } catch (error) {
      return error instanceof RequestError ? `${error.code}: ${error.message}` : String(error);
    }
    return 'made';
  };

  test('by a back end is for any user and channel that its key reaches', () => {
    const body = {
      user_id: '7',
      session_id: 's',
      channels: ['task:1', 'news'],
      ttl: 60,
      origin: 'https://App.example.com/',
    };
    expect(plan(key(['*']), body, 'https://ignored.example')).toEqual({
      userId: '7',
      joins: ['channel:news', 'session:s', 'task:1', 'user:7'],
      tokenId: 't',
      parentTokenIds: [],
      issuedAtMs: NOW,
      expiresAtMs: NOW + 60_000,
      origin: 'https://app.example.com',
    });
    expect(plan(key(['user:*']), { user_id: '7' })).toMatchObject({
      joins: ['user:7'],
      expiresAtMs: NOW + 600_000,
    });
    expect(plan(key(['*']), { channels: ['kb:1'] })).toMatchObject({ userId: undefined, joins: ['kb:1'] });
  });

  test.each<[string, string[], object]>([
    ['a user', ['task:*'], { user_id: '7' }],
    ['a session', ['user:*'], { user_id: '7', session_id: 's' }],
    ['a channel', ['user:*', 'kb:tenant1-*'], { user_id: '7', channels: ['kb:tenant2-a'] }],
    ['a wider pattern', ['user:*', 'kb:tenant1-*'], { user_id: '7', channels: ['kb:*'] }],
    ['everything', ['user:*', 'kb:*'], { channels: ['*'] }],
  ])('by a back end for %s beyond its key is refused', (_, channels, body) => {
    expect(refusalOf(key(channels), body)).toMatch(/^forbidden: this API key does not cover "/);
  });

  test('a user id that looks like a pattern is one user', () => {
    const wish = readTicketBody({ user_id: '*' }, rules);
    const context = { tokenId: 't', nowMs: NOW, pageOrigin: undefined };
    expect(planTicket(key(['*']), wish, rules, context).joins.has('user:7')).toBe(false);
  });

  test('by a user is for himself, for what his token allows, and no longer', () => {
    const page = 'https://app.example.com';
    expect(plan(user(), {}, page)).toEqual({
      userId: '7',
      joins: ['session:s', 'task:*', 'user:7'],
      tokenId: 't',
      parentTokenIds: ['jwt-1'],
      issuedAtMs: NOW,
      expiresAtMs: NOW + 300_000,
      origin: page,
    });
    expect(plan(user(), { channels: ['task:9'], ttl: 10 })).toMatchObject({
      joins: ['task:9', 'user:7'],
      expiresAtMs: NOW + 10_000,
      origin: undefined,
    });
    expect(plan(user(), { session_id: 's', user_id: '7' }).joins).toEqual(['session:s', 'user:7']);
  });

  test.each<[object, RegExp]>([
    [{ user_id: '8' }, /^forbidden: this token can issue tickets only for its own user/],
    [{ channels: ['kb:1'] }, /^forbidden: this token does not cover "kb:1"/],
    [{ channels: ['*'] }, /^forbidden: this token does not cover "\*"/],
    [{ session_id: 'other' }, /^forbidden: this token does not cover "session:other"/],
  ])('by a user for more is refused: %j', (body, problem) => {
    expect(refusalOf(user(), body)).toMatch(problem);
  });

  test('is refused to tickets, to keys without the scope, and to nobody', () => {
    expect(refusalOf(user({ credential: 'ticket' }), {})).toMatch(
      /^forbidden: a ticket cannot issue tickets/,
    );
    expect(refusalOf(key(['*'], ['publish', 'read']), { user_id: '7' })).toMatch(
      /^forbidden: .*scope manage/,
    );
    expect(refusalOf(anonymous(closed), { user_id: '7' })).toMatch(/^unauthorized: /);
    // Where authentication is off, as on a laptop, the same code may ask for tickets too.
    expect(refusalOf(anonymous(floorOf({ keys: false, users: false })), { user_id: '7' })).toBe('made');
  });

  test.each<[unknown, RegExp]>([
    [undefined, /body must be a JSON object/],
    [[], /body must be a JSON object/],
    [{}, /user_id is required unless session_id or channels is given/],
    [{ user_id: null, channels: [] }, /user_id is required unless session_id or channels is given/],
    [{ user_id: '' }, /user_id must not be empty/],
    [{ user_id: 7 }, /user_id must be text/],
    [{ user_id: 'a\n' }, /user_id must not contain/],
    [{ user_id: '7', channels: 'a' }, /channels must be an array/],
    [{ user_id: '7', channels: ['a*b'] }, /channels entry 0/],
    [{ user_id: '7', ttl: 0 }, /ttl must be a whole number of seconds from 1 to 3600/],
    [{ user_id: '7', ttl: 3601 }, /ttl must be/],
    [{ user_id: '7', ttl: '60' }, /ttl must be/],
    [{ user_id: '7', origin: 'https://a.example/path' }, /origin must be an origin/],
    [{ user_id: '7', origin: 'null' }, /origin must be an origin/],
    [{ user_id: '7', origin: '*' }, /origin must be an origin/],
    [{ user_id: '7', expires: 60 }, /expires is not a field of a ticket/],
    [{ user_id: 7, ttl: -1 }, /user_id must be text; ttl must be/],
  ])('that cannot be read is refused with what is wrong: %j', (body, problem) => {
    expect(refusalOf(key(['*']), body)).toMatch(problem);
    expect(refusalOf(key(['*']), body)).toMatch(/^validation_failed/);
  });

  describe('at the office', () => {
    function office(admit?: (principal: Principal, channels: readonly string[]) => Promise<void>) {
      return new TicketOffice({ sealer: sealer(), rules, now: () => NOW, admit });
    }
    const asks = { clientIp: '10.0.0.1', pageOrigin: undefined };

    test('gets a ticket that the same service reads', async () => {
      const issued = await office().issue(user(), { channels: ['task:*'] }, asks);
      const read = await sealer().unseal(issued.ticket);
      expect(read.tokenId).toBe(issued.ticketId);
      expect(issued).toMatchObject({
        userId: '7',
        channels: ['user:7', 'task:*'],
        expiresAtMs: NOW + 300_000,
      });
    });

    test('gets what the application allows a user, by name', async () => {
      const asked: (readonly string[])[] = [];
      const asking = office(async (_, channels) => {
        asked.push(channels);
        if (channels.includes('kb:secret')) throw new RequestError('forbidden', 'no');
      });
      const issued = await asking.issue(user(), { channels: ['kb:1', 'news'] }, asks);
      expect(issued.channels).toEqual(['user:7', 'kb:1', 'channel:news']);
      expect(asked).toEqual([['kb:1', 'channel:news']]);
      await expect(asking.issue(user(), { channels: ['kb:secret'] }, asks)).rejects.toThrow('no');
      // The application cannot be asked about patterns.
      await expect(asking.issue(user(), { channels: ['kb:*'] }, asks)).rejects.toThrow(
        /does not cover "kb:\*"/,
      );
      await expect(asking.issue(key(['user:*']), { channels: ['kb:1'] }, asks)).rejects.toThrow(/API key/);
      expect(asked).toHaveLength(2);
    });

    test('gets none that would be too long for a URL', async () => {
      const channels = Array.from({ length: 100 }, (_, i) => `${'x'.repeat(100)}${i}`);
      await expect(office().issue(key(['*']), { channels }, asks)).rejects.toMatchObject({
        code: 'validation_failed',
      });
    });
  });
});
