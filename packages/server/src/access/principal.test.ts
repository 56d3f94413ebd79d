import { describe, expect, test } from 'vitest';
import { ChannelSet } from './channel-set.ts';
import {
  demandJoin,
  demandManage,
  demandPublish,
  demandPublishOf,
  demandRead,
  demandReadAllOf,
  mayBroadcast,
  mayJoin,
  mayManage,
  mayPublish,
  mayRead,
  mayReadAllOf,
} from './decisions.ts';
import { anonymous, floorOf, keyPrincipal, type Principal, type Scope, userPrincipal } from './principal.ts';

const closed = floorOf({ keys: true, users: true });

const key = (scopes: Scope[], channels: string[], floor = closed): Principal =>
  keyPrincipal(
    { name: 'kb', scopes, channels: ChannelSet.ofPatterns(channels), expiresAtMs: undefined },
    floor,
  );
const user = (
  userId: string | undefined,
  channels: string[],
  credential: 'jwt' | 'ticket' = 'jwt',
): Principal =>
  userPrincipal(
    {
      credential,
      userId,
      joins: ChannelSet.ofPatterns(channels),
      tokenId: 't',
      parentTokenIds: [],
      issuedAtMs: 0,
      expiresAtMs: 1,
    },
    closed,
  );
const codeOf = (act: () => void): string => {
  try {
    act();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return 'allowed';
};

describe('without a credential', () => {
  test.each([
    // keys, users, publish, broadcast, read, manage, join
    [false, false, true, true, true, true, true],
    [true, false, false, false, true, false, true],
    [false, true, true, true, false, false, false],
    [true, true, false, false, false, false, false],
  ])(
    'with keys asked: %s and users asked: %s, publishing is %s, broadcasting %s, reading %s, managing %s, joining %s',
    (keys, users, ...expected) => {
      const nobody = anonymous(floorOf({ keys, users }));
      expect([
        mayPublish(nobody, ['user:7']),
        mayBroadcast(nobody),
        mayRead(nobody, 'user:7'),
        mayManage(nobody),
        mayJoin(nobody, ['user:7']),
      ]).toEqual(expected);
    },
  );

  test('a refusal asks for one, and with one it does not', () => {
    const nobody = anonymous(closed);
    expect(codeOf(() => demandPublish(nobody, ['user:7']))).toBe('unauthorized');
    expect(codeOf(() => demandJoin(nobody, ['user:7']))).toBe('unauthorized');
    expect(codeOf(() => demandRead(nobody, 'user:7'))).toBe('unauthorized');
    expect(codeOf(() => demandManage(nobody))).toBe('unauthorized');
    expect(codeOf(() => demandPublish(user('7', []), ['user:7']))).toBe('forbidden');
  });
});

describe('an API key', () => {
  test('does what its scopes say, on its channels, and nothing else', () => {
    const publisher = key(['publish'], ['kb:tenant1-*', 'user:7']);
    expect(mayPublish(publisher, ['kb:tenant1-a', 'user:7'])).toBe(true);
    expect(mayPublish(publisher, ['kb:tenant1-a', 'user:8'])).toBe(false);
    expect(codeOf(() => demandPublish(publisher, ['kb:tenant2-a']))).toBe('forbidden');
    expect(codeOf(() => demandPublishOf(publisher, 'broadcast'))).toBe('forbidden');
    expect([mayJoin(publisher, ['user:7']), mayRead(publisher, 'user:7')]).toEqual([false, false]);
    expect(codeOf(() => demandReadAllOf(publisher))).toBe('forbidden');
    expect(codeOf(() => demandManage(publisher, 'user:7'))).toBe('forbidden');
  });

  test('joins and reads with the scope read, and sees all only where it reaches all', () => {
    const reader = key(['read'], ['kb:tenant1-*']);
    expect([mayJoin(reader, ['kb:tenant1-a', 'broadcast']), mayJoin(reader, ['kb:x'])]).toEqual([
      true,
      false,
    ]);
    expect([mayReadAllOf(reader, 'kb:tenant1-a'), mayReadAllOf(reader, 'kb:'), mayReadAllOf(reader)]).toEqual(
      [true, false, false],
    );
    expect(mayReadAllOf(key(['read'], ['*']))).toBe(true);
    expect(mayPublish(reader, ['kb:tenant1-a'])).toBe(false);
  });

  test('manages its channels, and everything only with all', () => {
    const manager = key(['manage'], ['user:*']);
    expect([mayManage(manager, 'user:7'), mayManage(manager, 'connection:x'), mayManage(manager)]).toEqual([
      true,
      false,
      false,
    ]);
    expect(mayManage(key(['manage'], ['*']))).toBe(true);
  });

  test('is never less than nobody', () => {
    const floor = floorOf({ keys: true, users: false });
    expect(mayJoin(key(['publish'], [], floor), ['user:7'])).toBe(true);
  });
});

describe('a user', () => {
  test('joins and reads his channels and no others, and every stream joins the broadcast channel', () => {
    const seven = user('7', ['user:7', 'task:*']);
    expect(mayJoin(seven, ['user:7', 'task:1', 'broadcast'])).toBe(true);
    expect(mayJoin(seven, ['user:7', 'user:8'])).toBe(false);
    expect([mayRead(seven, 'task:1'), mayRead(seven, 'user:8'), mayRead(seven, 'broadcast')]).toEqual([
      true,
      false,
      true,
    ]);
    expect([
      mayPublish(seven, ['user:7']),
      mayBroadcast(seven),
      mayManage(seven),
      mayReadAllOf(seven),
    ]).toEqual([false, false, false, false]);
  });

  test('is told which channels were refused, and of many only the first', () => {
    const channels = ['user:7', 'user:8', 'kb:1', 'kb:2', 'kb:3'];
    expect(() => demandJoin(user('7', ['user:7'], 'ticket'), channels)).toThrow(
      'this ticket may not join "user:8", "kb:1", "kb:2" and 1 more',
    );
  });
});
