import { beforeEach, describe, expect, test, vi } from 'vitest';
import { type HeartbeatReply, LiveNodes } from './live-nodes.ts';

let nowMs = 0;
let reply: HeartbeatReply | Error;
let returned = 0;
let nodes: LiveNodes;

async function heartbeat(alive: string, silent = '', sinceLastMs = 1000): Promise<void> {
  reply = [sinceLastMs, alive, silent];
  await nodes.refresh();
}

beforeEach(() => {
  nowMs = 0;
  returned = 0;
  nodes = new LiveNodes({
    nodeId: 'self',
    heartbeat: async () => {
      if (reply instanceof Error) throw reply;
      return reply;
    },
    leave: async () => undefined,
    onReturned: () => returned++,
    now: () => nowMs,
  });
});

describe('nodes', () => {
  test('are alive or silent as the last heartbeat says', async () => {
    expect([...nodes.alive]).toEqual(['self']);
    await heartbeat('self a b', 'c');
    expect(['a', 'b', 'c', 'd'].map((id) => nodes.isAlive(id))).toEqual([true, true, false, false]);
    expect([...nodes.silent]).toEqual(['c']);
    await heartbeat('self b', 'a c');
    expect(nodes.isAlive('a')).toBe(false);
  });

  test('stay as they are while Redis cannot be asked', async () => {
    await heartbeat('self a');
    reply = new Error('unreachable');
    await expect(nodes.refresh()).rejects.toThrow('unreachable');
    expect(nodes.isAlive('a')).toBe(true);
  });

  test('that were alive before an outage have the time for a heartbeat after it', async () => {
    await heartbeat('self a b', 'c');
    nowMs = 10_000;
    await heartbeat('self', 'a b c', 10_000);
    expect(['a', 'b', 'c'].map((id) => nodes.isAlive(id))).toEqual([true, true, false]);
    expect([...nodes.silent]).toEqual(['c']);
    nowMs = 11_000;
    await heartbeat('self a', 'b c');
    expect(nodes.isAlive('b')).toBe(true);
    for (nowMs = 12_000; nowMs <= 14_000; nowMs += 1000) await heartbeat('self a', 'b c');
    expect(['a', 'b'].map((id) => nodes.isAlive(id))).toEqual([true, false]);
  });

  test('are gone when no list has had them for a while, and not before', async () => {
    await heartbeat('self a', 'b');
    expect(['a', 'b', 'x'].map((id) => nodes.isGone(id))).toEqual([false, false, false]);
    for (; nowMs <= 9000; nowMs += 1000) await heartbeat('self a', 'b');
    expect(nodes.isGone('x')).toBe(false);
    for (; nowMs <= 11_000; nowMs += 1000) await heartbeat('self a');
    expect(nodes.isGone('x')).toBe(true);
    expect(nodes.isGone('b')).toBe(false);
    await heartbeat('self a x');
    expect(nodes.isGone('x')).toBe(false);
  });
});

describe('this node', () => {
  test('says again what it has when others may have taken it for dead', async () => {
    await heartbeat('self', '', -1);
    expect(returned, 'it is new').toBe(0);
    await heartbeat('self');
    expect(returned).toBe(0);
    await heartbeat('self', '', 4500);
    expect(returned).toBe(1);
    await heartbeat('self', '', -1);
    expect(returned).toBe(2);
  });

  test('sends a heartbeat every second until it leaves', async () => {
    vi.useFakeTimers();
    reply = [1000, 'self a', ''];
    await nodes.join();
    reply = [1000, 'self b', ''];
    await vi.advanceTimersByTimeAsync(1000);
    expect(nodes.isAlive('b')).toBe(true);
    await nodes.leave();
    reply = [1000, 'self c', ''];
    await vi.advanceTimersByTimeAsync(5000);
    expect(nodes.isAlive('c')).toBe(false);
    vi.useRealTimers();
  });
});
