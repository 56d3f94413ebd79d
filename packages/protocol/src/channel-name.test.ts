import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  channelNameProblem,
  channelOfQueryName,
  isTransientChannel,
  MAX_CHANNEL_NAME_BYTES,
  nameProblem,
} from './channel-name.ts';

describe('a channel name', () => {
  it('is broadcast, or a known prefix and an id', () => {
    for (const name of ['broadcast', 'user:1', 'kb:a:b', 'channel:ü', 'connection:x', 'session: ']) {
      expect(channelNameProblem(name), name).toBeUndefined();
    }
    for (const name of ['', 'user', 'user:', ':1', 'other:1', 'User:1', 'broadcast:1']) {
      expect(channelNameProblem(name), name).toBeDefined();
    }
  });

  it('carries no control character and no lone surrogate', () => {
    for (const part of ['\0', '\r', '\n', '\x1f', '\x7f', '\ud800', '\udc00x']) {
      expect(channelNameProblem(`user:a${part}`)).toMatch(/^must /);
    }
  });

  it('is bounded in bytes of UTF-8, however many units it has', () => {
    const encoder = new TextEncoder();
    const unit = fc.constantFrom('a', 'ü', '€', '😀');
    fc.assert(
      fc.property(fc.string({ unit, minLength: 1, maxLength: 300 }), (id) => {
        const isShort = encoder.encode(id).length <= MAX_CHANNEL_NAME_BYTES;
        expect(nameProblem(id) === undefined).toBe(isShort);
      }),
    );
  });

  it('in a query is that of a channel unless it has a known prefix', () => {
    expect(['a', 'kb:7', 'x:7', 'broadcast', ':a', 'channel:a'].map(channelOfQueryName)).toEqual([
      'channel:a',
      'kb:7',
      'channel:x:7',
      'broadcast',
      'channel::a',
      'channel:a',
    ]);
  });

  it('of a connection is transient', () => {
    expect(['connection:1', 'channel:connection:1', 'user:1'].map(isTransientChannel)).toEqual([
      true,
      false,
      false,
    ]);
  });
});
