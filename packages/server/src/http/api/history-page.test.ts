import { beforeEach, expect, test } from 'vitest';
import type { Publication } from '../../core/message.ts';
import { MemoryEngine } from './api-fixture.ts';
import { historyJson, readHistoryPage } from './history-page.ts';

let engine: MemoryEngine;

function fill(sizes: readonly number[]): void {
  const log = sizes.map((size, i): Publication => {
    const json = Buffer.from(JSON.stringify('x'.repeat(size - 2)));
    const message = { id: `${i}`, type: 'info', channels: ['a'], exclude: undefined, timeMs: 0, json };
    return { message, places: [{ channel: 'a', epoch: 'e1', offset: i + 1 }], order: i };
  });
  engine.logs.set('a', log);
}

async function read(
  query: { from?: number; to?: number; limit?: number; reverse?: boolean },
  maxBytes = 1_000,
) {
  const all = { channel: 'a', from: 1, to: 1e9, limit: 1_000, reverse: false, ...query };
  const { entries, next } = await readHistoryPage(engine, all, maxBytes);
  return { offsets: entries.map(({ offset }) => offset), next };
}

beforeEach(() => {
  engine = new MemoryEngine();
});

test('a page ends before the message that would make it too large', async () => {
  fill([400, 400, 400, 400]);
  expect(await read({})).toEqual({ offsets: [1, 2], next: 3 });
  expect(await read({ from: 3 })).toEqual({ offsets: [3, 4], next: undefined });
  expect(await read({ reverse: true })).toEqual({ offsets: [4, 3], next: 2 });
});

test('a message larger than a page is a page of its own', async () => {
  fill([5_000, 10, 5_000]);
  expect(await read({})).toEqual({ offsets: [1], next: 2 });
  expect(await read({ from: 2 })).toEqual({ offsets: [2], next: 3 });
  expect(await read({ from: 3 })).toEqual({ offsets: [3], next: undefined });
});

test('a page of many small messages is read in few looks, without reading much beyond it', async () => {
  fill(Array.from({ length: 1_000 }, () => 10));
  const { offsets, next } = await read({ limit: 500 }, 3_000);
  expect(offsets).toHaveLength(300);
  expect(next).toBe(301);
  expect(engine.readEntries).toBeLessThanOrEqual(310);
});

test('following next reads every message once, in both directions', async () => {
  fill(Array.from({ length: 200 }, (_, i) => 20 + ((i * 37) % 300)));
  engine.floor = 13;
  for (const reverse of [false, true]) {
    const seen: number[] = [];
    let next: number | undefined = reverse ? 1e9 : 1;
    while (next !== undefined) {
      const page: { offsets: number[]; next: number | undefined } = await read(
        { [reverse ? 'to' : 'from']: next, limit: 40, reverse },
        2_000,
      );
      seen.push(...page.offsets);
      next = page.next;
    }
    const expected = Array.from({ length: 187 }, (_, i) => i + 14);
    expect(seen).toEqual(reverse ? expected.toReversed() : expected);
  }
});

test('a log that begins anew between two looks ends the page', async () => {
  fill(Array.from({ length: 40 }, () => 10));
  const range = engine.range;
  let looks = 0;
  engine.range = async (...args) => {
    const page = await range(...args);
    return looks++ === 0 ? page : { ...page, state: { ...page.state, epoch: 'e2' } };
  };
  expect(await read({})).toEqual({ offsets: Array.from({ length: 16 }, (_, i) => i + 1), next: undefined });
});

test('the answer holds the stored bytes of each message', async () => {
  engine.logs.set('a', [
    {
      message: {
        id: 'm',
        type: 'info',
        channels: ['a'],
        exclude: undefined,
        timeMs: 0,
        json: Buffer.from('{"data":{"n":12345678901234567890}}'),
      },
      places: [{ channel: 'a', epoch: 'e1', offset: 1 }],
      order: 1,
    },
  ]);
  const query = { channel: 'a', from: 1, to: 9, limit: 9, reverse: false };
  const text = historyJson('a', await readHistoryPage(engine, query, 100)).toString();
  expect(text).toContain(
    '{"offset":1,"timestamp":"1970-01-01T00:00:00.000Z","message":{"data":{"n":12345678901234567890}}}',
  );
  expect(JSON.parse(text)).toMatchObject({ channel: 'a', last_offset: 1 });
});
