import { describe, expect, test } from 'vitest';
import { RequestError } from '../core/errors.ts';
import type { RequestParts } from './authorizer.ts';
import { ChannelSet } from './channel-set.ts';
import { Gate, streamCredentialOf } from './gate.ts';
import type { RateResult } from './limits/rate-limiter.ts';
import { anonymous, floorOf, type Principal, userPrincipal } from './principal.ts';

const floor = floorOf({ keys: true, users: true });
const nobody = anonymous(floor);
const seven = userPrincipal(
  {
    credential: 'jwt',
    userId: '7',
    joins: ChannelSet.ofNames(['user:7']),
    tokenId: 't',
    parentTokenIds: [],
    issuedAtMs: 1,
    expiresAtMs: 2,
  },
  floor,
);
const parts = {} as RequestParts;
const rateOf = (isAllowed: boolean): RateResult => ({
  isAllowed,
  remaining: 0,
  resetMs: 1500,
  limit: 10,
  windowMs: 60_000,
});

function gateOf(found: () => Principal | Promise<Principal>, isAllowed?: boolean | Promise<boolean>) {
  const counted: (string | undefined)[] = [];
  const take = (_kind: string, principal: Principal | undefined) => {
    counted.push(principal?.name);
    if (isAllowed instanceof Promise) return isAllowed.then(rateOf);
    return rateOf(isAllowed === true);
  };
  const limiter = isAllowed === undefined ? undefined : { take };
  const gate = new Gate({ authorizer: { isOn: true, authenticate: found }, limiter });
  return { gate, counted };
}
const refuse = (): never => {
  throw new RequestError('unauthorized', 'no');
};

describe('the gate', () => {
  test('answers at once where nothing has to be waited for', () => {
    expect(gateOf(() => seven).gate.ask('request', parts, 'ip')).toEqual({
      principal: seven,
      rate: undefined,
    });
    const { gate, counted } = gateOf(() => seven, true);
    expect(gate.ask('request', parts, 'ip')).toEqual({ principal: seven, rate: rateOf(true) });
    expect(counted).toEqual(['user:7']);
  });

  test('waits for a credential and for a count', async () => {
    const { gate } = gateOf(async () => seven, Promise.resolve(true));
    expect(await gate.ask('connect', parts, 'ip')).toEqual({ principal: seven, rate: rateOf(true) });
  });

  test.each([
    ['at once', refuse],
    ['later', async () => refuse()],
  ])('counts a credential that was refused %s for its address, and says so', async (_when, found) => {
    const { gate, counted } = gateOf(found, true);
    const answer = await gate.ask('request', parts, 'ip');
    expect(answer.error?.code).toBe('unauthorized');
    expect(answer.rate).toEqual(rateOf(true));
    expect(counted).toEqual([undefined]);
  });

  test('says first that it is too often, whatever the credential is', async () => {
    for (const found of [refuse, () => seven]) {
      const answer = await gateOf(found, false).gate.ask('request', parts, 'ip');
      expect([answer.error?.code, answer.error?.retryAfterSeconds]).toEqual(['too_many_requests', 2]);
    }
  });

  test('does not take a fault for a refusal', async () => {
    const fault = (): never => {
      throw new TypeError('a fault');
    };
    expect(() => gateOf(fault).gate.ask('request', parts, 'ip')).toThrow(TypeError);
    await expect(gateOf(async () => fault()).gate.ask('request', parts, 'ip')).rejects.toThrow(TypeError);
  });
});

test('a stream keeps little of its principal, and nothing where none was proved', () => {
  expect(streamCredentialOf(nobody)).toBeUndefined();
  expect(Object.keys(streamCredentialOf(seven) ?? {}).toSorted()).toEqual([
    'expiresAtMs',
    'issuedAtMs',
    'name',
    'parentTokenIds',
    'tokenId',
    'userId',
  ]);
});
