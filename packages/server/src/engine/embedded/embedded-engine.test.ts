import { writeFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Publication } from '../../core/message.ts';
import { describeEngine } from '../engine-suite-fixture.ts';
import { EmbeddedEngine } from './embedded-engine.ts';
import type { EmbeddedEngineOptions } from './embedded-options.ts';
import { GENEROUS_BOUNDS } from './generous-bounds-fixture.ts';

describeEngine('embedded', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'engine-'));
  let nowMs = 1_800_000_000_000;
  return {
    create: (bounds) => new EmbeddedEngine({ ...GENEROUS_BOUNDS, ...bounds, directory, now: () => nowMs }),
    advanceClock: async (ms) => {
      nowMs += ms;
    },
    nowMs: () => nowMs,
    dispose: () => rm(directory, { recursive: true }),
  };
});

describe('embedded engine', () => {
  let directory: string;
  const opened: EmbeddedEngine[] = [];

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'engine-'));
  });
  afterEach(async () => {
    for (const engine of opened.splice(0)) await engine.close();
    await rm(directory, { recursive: true });
  });

  const open = async (options: Partial<EmbeddedEngineOptions> = {}): Promise<EmbeddedEngine> => {
    const engine = new EmbeddedEngine({ ...GENEROUS_BOUNDS, directory, now: Date.now, ...options });
    await engine.open({ onPublications: () => {}, onSuspect: () => {} });
    opened.push(engine);
    return engine;
  };
  const draft = (channel: string, size = 100) => ({
    message: {
      id: 'id',
      type: 'info',
      channels: [channel],
      exclude: undefined,
      timeMs: Date.now(),
      json: Buffer.alloc(size, 0x61),
    },
    ttlMs: undefined,
    hasOwnTtl: false,
    fingerprint: undefined,
    ack: 'stored' as const,
  });

  it('refuses a second process on the same directory, in words', async () => {
    await open();
    await expect(open()).rejects.toThrow(/another process has the store in .* open/);
  });

  it('sets a file that is no store aside and starts a new log', async () => {
    writeFileSync(
      join(directory, 'messages.db'),
      'this is not a database, it only looks like a file'.repeat(100),
    );
    const storeSetAside = vi.fn();
    const observer = {
      committed: vi.fn(),
      commitFailed: vi.fn(),
      trimmed: vi.fn(),
      storeSetAside,
      faulted: vi.fn(),
    };
    const engine = await open({ observer });
    expect(storeSetAside).toHaveBeenCalledOnce();
    expect((await engine.publish(draft('user:a'))).places[0]?.offset).toBe(1);
    expect((await readdir(directory)).some((name) => name.includes('unreadable'))).toBe(true);
  });

  it('keeps the bytes of a channel and of the whole store within their bounds', async () => {
    const engine = await open({ maxBytesPerChannel: 10_000, maxBytes: 15_000 });
    for (let i = 0; i < 50; i++) await engine.publish(draft('user:a', 1000));
    for (let i = 0; i < 50; i++) await engine.publish(draft('user:b', 1000));
    await vi.waitFor(
      () => expect(Number(engine.health().details['history_bytes'])).toBeLessThanOrEqual(15_000),
      5000,
    );
    const { channels } = await engine.channels({ prefix: '', after: '', limit: 10 });
    for (const channel of channels) expect(channel.bytes).toBeLessThanOrEqual(11_000);
    const [state] = await engine.states(['user:b']);
    expect(state?.offset).toBe(50);
    expect(state?.floor).toBeGreaterThanOrEqual(39);
  });

  it('refuses publishes beyond its queue rather than holding them', async () => {
    const engine = await open({ maxQueueBytes: 2000 });
    const outcomes = await Promise.allSettled([1, 2, 3, 4].map(() => engine.publish(draft('user:a', 900))));
    expect(outcomes.map((o) => o.status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'rejected']);
    expect(outcomes[3]).toMatchObject({ reason: { code: 'engine_overloaded' } });
    await expect(engine.publish(draft('user:a', 900))).resolves.toBeDefined();
  });

  it('refuses a new channel beyond MAX_CHANNELS and still takes publishes for old ones', async () => {
    const engine = await open({ maxChannels: 1 });
    await engine.publish(draft('user:a'));
    await expect(engine.publish(draft('user:b'))).rejects.toMatchObject({ code: 'storage_full' });
    await expect(engine.publish(draft('user:a'))).resolves.toBeDefined();
  });

  it('forgets a channel that is empty and long quiet, which then begins a new epoch', async () => {
    let nowMs = Date.now();
    const engine = await open({ now: () => nowMs, channelRetentionMs: 1000 });
    const first = await engine.publish({ ...draft('user:a'), ttlMs: 100 });
    nowMs += 5000;
    await vi.waitFor(() => expect(engine.health().details['history_channels']).toBe(0), 5000);
    const second = await engine.publish(draft('user:a'));
    expect(second.places[0]?.offset).toBe(1);
    expect(second.places[0]?.epoch).not.toBe(first.places[0]?.epoch);
  });

  it('commits one by one when group commit is off', async () => {
    const committed: number[] = [];
    const observer = {
      committed: (publications: number) => committed.push(publications),
      commitFailed: vi.fn(),
      trimmed: vi.fn(),
      storeSetAside: vi.fn(),
      faulted: vi.fn(),
    };
    const engine = await open({ groupCommit: false, observer });
    await Promise.all([1, 2, 3].map(() => engine.publish(draft('user:a'))));
    expect(committed).toEqual([1, 1, 1]);
  });

  it('remembers ids of messages that have no history beside those that have, batch after batch', async () => {
    const engine = await open();
    const sent = (channel: string, id: string) => {
      const { message, ...rest } = draft(channel);
      return engine.publish({ ...rest, message: { ...message, id }, fingerprint: id });
    };
    for (let round = 0; round < 3; round++) {
      const channels = ['connection:x', 'user:a', 'connection:y'];
      const receipts = await Promise.all(channels.map((c) => sent(c, `${round} ${c}`)));
      expect(receipts.map((r) => r.isRepeat)).toEqual([false, false, false]);
    }
    expect((await sent('connection:y', '2 connection:y')).isRepeat).toBe(true);
  });

  it('says that a message with a ttl of its own is lost when it is deleted before its time', async () => {
    const own = (size: number) => ({ ...draft('user:a', size), ttlMs: 3_600_000, hasOwnTtl: true });
    const engine = await open({ maxBytesPerChannel: 5000 });
    for (let i = 0; i < 20; i++) await engine.publish(own(1000));
    const page = await engine.read([{ channel: 'user:a', offset: 0 }], 1 << 20);
    const first = page.publications[0]?.places[0]?.offset ?? 0;
    expect(first).toBeGreaterThan(1);
    expect(page.channels[0]?.state.floor).toBe(first - 1);
  });

  it('does not let a page reach past what it read, when a commit ends while it is read', async () => {
    const engine = await open();
    await engine.publish(draft('user:a'));
    await engine.publish(draft('user:b'));
    for (let i = 0; i < 20; i++) {
      const { offset = 0 } = (await engine.states(['user:a']))[0] ?? {};
      const published = engine.publish(draft('user:a'));
      // The commit is sent at the end of this turn; the read comes behind it, before its reply.
      await new Promise((resolve) => setImmediate(resolve));
      const page = await engine.read(
        [
          { channel: 'user:a', offset },
          { channel: 'user:b', offset: 0 },
          { channel: 'user:unborn', offset: 0 },
        ],
        1 << 20,
      );
      await published;
      const read = page.publications.flatMap((p) => p.places).filter((p) => p.channel === 'user:a');
      expect(page.channels[0]?.reachedOffset).toBe(read.at(-1)?.offset ?? offset);
    }
  });

  it('announces a publication before it acknowledges it', async () => {
    const events: string[] = [];
    const engine = new EmbeddedEngine({ ...GENEROUS_BOUNDS, directory, now: Date.now });
    await engine.open({
      onPublications: (publications: readonly Publication[]) =>
        events.push(`announced ${publications.length}`),
      onSuspect: () => {},
    });
    opened.push(engine);
    await engine.publish(draft('user:a')).then(() => events.push('acknowledged'));
    expect(events).toEqual(['announced 1', 'acknowledged']);
  });
});
