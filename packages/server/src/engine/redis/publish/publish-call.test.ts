import { describe, expect, test } from 'vitest';
import type { Draft } from '../../../core/message.ts';
import { Keys } from '../names/keys.ts';
import {
  decodeReply,
  encodeCall,
  encodeHeader,
  type PublishPart,
  type PublishReply,
} from './publish-call.ts';
import { splitBySlot } from './split-draft.ts';

const keys = new Keys('p:', 0);
const FINGERPRINT = 'abcdefghijklmnopqrstuQ';
const NODE = '0badcafe';
const IN_KEYS = { kind: 'keys' } as const;
let count = 0;

function part(channels: readonly string[], options: Partial<Draft> & { id?: string } = {}): PublishPart {
  const { id = `m${++count}`, ...rest } = options;
  const message = { id, type: 'info', channels, exclude: undefined, timeMs: 1000, json: Buffer.from('{}') };
  const draft: Draft = {
    message,
    ttlMs: 60_000,
    hasOwnTtl: false,
    fingerprint: undefined,
    ack: 'stored',
    ...rest,
  };
  const [only] = splitBySlot(channels, keys, () => 0);
  if (only === undefined) throw new Error('unreachable: a message has a channel');
  return { draft, logs: only.logs, direct: only.direct };
}

/** Reads what `META` of publish.lua describes. */
function readMetas(metas: Buffer) {
  const read = [];
  for (let at = 0; at < metas.length; ) {
    const buses = metas.readUInt16LE(at + 19);
    const hasId = metas.readUInt8(at + 21) === 1;
    const numbersAt = at + 26;
    const end = numbersAt + 2 * buses;
    read.push({
      ttlMs: metas.readDoubleLE(at),
      timeMs: metas.readDoubleLE(at + 8),
      hasOwnTtl: metas.readUInt8(at + 16) === 1,
      logs: metas.readUInt16LE(at + 17),
      bytes: metas.readUInt32LE(at + 22),
      numbers: Array.from({ length: buses }, (_, i) => metas.readUInt16LE(numbersAt + 2 * i)),
      fingerprint: hasId ? metas.subarray(end, end + 16).toString('base64url') : undefined,
    });
    at = end + (hasId ? 16 : 0);
  }
  return read;
}

describe('a call', () => {
  test('names what its messages share once, and messages refer to it by number', () => {
    const parts = [
      part(['user:a']),
      part(['user:b', 'user:a', `connection:${NODE}-1`]),
      part([`connection:${NODE}-2`]),
    ];
    const call = encodeCall(parts, keys, IN_KEYS);
    expect([...call.channels]).toEqual([
      ['user:a', 1],
      ['user:b', 2],
    ]);
    expect(call.keys).toEqual(
      ['log', 'history', 'audience'].flatMap((kind) =>
        ['user:a', 'user:b'].map((name) => keys[kind as 'log' | 'history' | 'audience'](name)),
      ),
    );
    const [ids, windowMs, firstWindow, logs, buses, node, metas] = call.args;
    expect([ids, windowMs, firstWindow, logs, buses, node]).toEqual([
      '0',
      '0',
      '0',
      '2',
      '3',
      keys.nodeBus(NODE),
    ]);
    expect(readMetas(metas as Buffer)).toMatchObject([
      { logs: 1, numbers: [1] },
      { logs: 2, numbers: [2, 1, 3] },
      { logs: 0, numbers: [3] },
    ]);
  });

  test('carries the ttl, the time, the size and the fingerprint of every message', () => {
    const parts = [
      part(['user:a'], { ttlMs: undefined }),
      part(['user:a'], { ttlMs: 5000, hasOwnTtl: true, fingerprint: FINGERPRINT }),
    ];
    const [, , , , , metas, messages] = encodeCall(parts, keys, IN_KEYS).args;
    const read = readMetas(metas as Buffer);
    expect(read).toMatchObject([
      { ttlMs: 0, timeMs: 1000, hasOwnTtl: false, fingerprint: undefined },
      { ttlMs: 5000, timeMs: 1000, hasOwnTtl: true, fingerprint: FINGERPRINT },
    ]);
    const bytes = messages as Buffer;
    expect(read.reduce((sum, each) => sum + each.bytes, 0)).toBe(bytes.length);
    const second = bytes.subarray(read[0]?.bytes);
    expect(second.readUInt32LE(0)).toBe(second.length - 4);
    const id = parts[1]?.draft.message.id;
    expect(second.toString('utf8', 4)).toBe(`${JSON.stringify([id, 'info', 1000, ['user:a']])}\n{}`);
  });

  test('in a cluster has a receipt of its own for every id, with the message’s channels', () => {
    const parts = [
      part(['user:a'], { id: 'x', fingerprint: FINGERPRINT }),
      part(['user:a']),
      part([`connection:${NODE}-1`], { id: 'y', fingerprint: FINGERPRINT }),
      part(['connection:nobody'], { id: 'z', fingerprint: FINGERPRINT }),
    ];
    const call = encodeCall(parts, keys, IN_KEYS);
    expect(call.keys.slice(0, 3)).toEqual([
      keys.receipt('x', 'user:a'),
      keys.receipt('y', NODE),
      keys.receipt('z', 'none'),
    ]);
    expect(call.args.slice(0, 3)).toEqual(['3', '0', '0']);
    expect(call.args.at(-1)).toBeInstanceOf(Buffer);
  });

  test('elsewhere has the windows of time in which receipts may be, and the ids', () => {
    const plan = { kind: 'windows', idempotencyTtlMs: 100_000, serverMs: 1_050_000 } as const;
    const withId = part(['user:a'], { id: 'x', fingerprint: FINGERPRINT });
    const call = encodeCall([part(['user:a']), withId], keys, plan);
    expect(call.keys.slice(0, 4)).toEqual([8, 9, 10, 11].map((window) => keys.receipts(100_000, window)));
    expect(call.args.slice(0, 3)).toEqual(['1', '100000', '8']);
    expect(call.args.at(-1)).toBe('x');
    const short = encodeCall([withId], keys, { ...plan, idempotencyTtlMs: 1 });
    expect(short.args.slice(0, 3), 'never shorter than a minute').toEqual(['1', '60000', '15']);
    const without = encodeCall([part(['user:a'])], keys, plan);
    expect(without.keys).toHaveLength(3);
    expect(without.args.slice(0, 3)).toEqual(['0', '0', '0']);
  });

  test('has a header in the order of the script’s arguments', () => {
    const header = encodeHeader({
      runId: 'run',
      deadlineUs: 17,
      newEpoch: 'epoch001',
      bounds: { maxMessagesPerChannel: 10, maxBytesPerChannel: 20, channelRetentionMs: 30 },
      idempotencyTtlMs: 40,
      publishCommand: 'spublish',
      renewsRepeats: true,
    });
    expect(header).toEqual(['run', '17', 'epoch001', '10', '20', '30', '40', 'spublish', '1']);
  });
});

describe('a reply', () => {
  const decode = (parts: readonly PublishPart[], reply: PublishReply) => {
    const stored: [string, string, number][] = [];
    const results = decodeReply(reply, {
      parts,
      channels: encodeCall(parts, keys, IN_KEYS).channels,
      parseStreams: (text) => new Map([[text, 1]]),
      onStored: (...position) => stored.push(position),
    });
    return { results, stored };
  };

  test('gives every message its places, with the streams that had joined its channels', () => {
    const parts = [part(['user:a']), part(['user:b', 'user:a', `connection:${NODE}-1`]), part(['user:a'])];
    const { results, stored } = decode(parts, [4, [1, 5], 6, 'ea', 'sa', 'eb', 'sb']);
    expect(results.map(({ outcome, places }) => [outcome, places])).toEqual([
      ['stored', [{ channel: 'user:a', epoch: 'ea', offset: 4 }]],
      [
        'stored',
        [
          { channel: 'user:b', epoch: 'eb', offset: 1 },
          { channel: 'user:a', epoch: 'ea', offset: 5 },
          { channel: `connection:${NODE}-1`, epoch: '', offset: 0 },
        ],
      ],
      ['stored', [{ channel: 'user:a', epoch: 'ea', offset: 6 }]],
    ]);
    expect(results[1]?.audiences).toEqual([new Map([['sb', 1]]), new Map([['sa', 1]])]);
    expect(stored, 'the highest offset of each channel').toEqual([
      ['user:a', 'ea', 6],
      ['user:b', 'eb', 1],
    ]);
  });

  test('answers a repeat with the places and the time of the first one', () => {
    const parts = [part(['user:a', 'user:b'], { fingerprint: FINGERPRINT })];
    const { results, stored } = decode(parts, ['= 77 old1 3 old2 9', 'ea', '', 'eb', '']);
    expect(results[0]).toMatchObject({
      outcome: 'repeat',
      timeMs: 77,
      places: [
        { channel: 'user:a', epoch: 'old1', offset: 3 },
        { channel: 'user:b', epoch: 'old2', offset: 9 },
      ],
    });
    expect(stored).toEqual([
      ['user:a', 'old1', 3],
      ['user:b', 'old2', 9],
    ]);
  });

  test('tells of an id that belongs to another message, and stores nothing for it', () => {
    const { results, stored } = decode([part(['user:a'], { fingerprint: FINGERPRINT })], ['!', 'ea', '']);
    expect(results[0]).toMatchObject({ outcome: 'conflict', places: [] });
    expect(stored).toEqual([]);
  });

  test('has a place without offset for a message that only a connection gets', () => {
    const { results, stored } = decode([part([`connection:${NODE}-1`])], [[]]);
    expect(results[0]).toMatchObject({
      outcome: 'stored',
      places: [{ channel: `connection:${NODE}-1`, epoch: '', offset: 0 }],
    });
    expect(stored).toEqual([]);
  });
});
