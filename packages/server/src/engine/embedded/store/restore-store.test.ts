import { copyFileSync, readdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EmbeddedEngine } from '../embedded-engine.ts';
import type { EmbeddedEngineOptions } from '../embedded-options.ts';
import { GENEROUS_BOUNDS } from '../generous-bounds-fixture.ts';
import { restoreStore } from './restore-store.ts';

let directory: string;
let engine: EmbeddedEngine;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'restore-'));
  engine = await open();
});
afterEach(async () => {
  await engine.close();
  await rm(directory, { recursive: true });
});

async function open(options: Partial<EmbeddedEngineOptions> = {}): Promise<EmbeddedEngine> {
  engine = new EmbeddedEngine({ ...GENEROUS_BOUNDS, directory, now: Date.now, ...options });
  await engine.open({ onPublications: () => {}, onSuspect: () => {} });
  return engine;
}

async function publish(channel: string, count = 1, bytes = 100): Promise<void> {
  const draft = {
    message: {
      id: 'id',
      type: 'info',
      channels: [channel],
      exclude: undefined,
      timeMs: Date.now(),
      json: Buffer.alloc(bytes, 0x61),
    },
    ttlMs: undefined,
    hasOwnTtl: false,
    fingerprint: undefined,
    ack: 'stored' as const,
  };
  await Promise.all(Array.from({ length: count }, () => engine.publish(draft)));
}

async function stateOf(channel: string) {
  const [state] = await engine.states([channel]);
  if (state === undefined) throw new Error('an engine answers for every channel');
  return state;
}

const store = (): string => join(directory, 'messages.db');

describe('a backup', () => {
  it('is one file for its owner alone, and holds what was acknowledged before it', async () => {
    await publish('user:a', 50);
    const { path, bytes } = await engine.makeBackup();
    expect(readdirSync(join(directory, 'backups'))).toEqual([path.slice(path.lastIndexOf('/') + 1)]);
    const { size, mode } = statSync(path);
    expect([size, mode & 0o777]).toEqual([bytes, 0o600]);
    expect(statSync(join(directory, 'backups')).mode & 0o777).toBe(0o700);
    const copy = new DatabaseSync(path, { readOnly: true });
    expect(copy.prepare('SELECT count(*) AS rows FROM publication').get()).toEqual({ rows: 50 });
    copy.close();
  });

  it('is made while messages come and go, and is the log as it was at one moment', async () => {
    await engine.close();
    await open({ maxMessagesPerChannel: 500 });
    const channels = ['user:a', 'user:b', 'user:c'];
    for (const channel of channels) await publish(channel, 1000, 4000);
    let isOver = false;
    let published = 0;
    const publishing = channels.map(async (channel) => {
      for (; !isOver; published++) await publish(channel, 1, 4000);
    });
    const { path } = await engine.makeBackup();
    const before = published;
    isOver = true;
    await Promise.all(publishing);
    await engine.close();
    restoreStore(directory, path);
    await open({ maxMessagesPerChannel: 500 });
    let kept = 0;
    for (const channel of channels) {
      const range = { from: 1, to: Number.MAX_SAFE_INTEGER, limit: 10_000, reverse: false };
      const { state, publications } = await engine.range(channel, range);
      const offsets = publications.map(({ places }) => places[0]?.offset);
      expect(offsets).toEqual(Array.from({ length: 500 }, (_, i) => state.offset - 499 + i));
      kept += state.offset - 1000;
    }
    expect(before).toBeGreaterThan(0);
    expect(kept).toBeGreaterThan(0);
    expect(kept).toBeLessThanOrEqual(published);
  });

  it('is made alone, and takes what another left unfinished away', async () => {
    const first = engine.makeBackup();
    await expect(engine.makeBackup()).rejects.toMatchObject({ code: 'backup_under_way' });
    const { path } = await first;
    writeFileSync(`${path}.part`, 'of a process that was killed');
    await engine.makeBackup();
    expect(readdirSync(join(directory, 'backups')).filter((name) => !name.endsWith('.db'))).toEqual([]);
  });

  it('does not hold up the end of the service', async () => {
    await publish('user:a', 1000, 10_000);
    const failed = expect(engine.makeBackup()).rejects.toThrow(/stopping/);
    await engine.close();
    await failed;
    expect(readdirSync(join(directory, 'backups'))).toEqual([]);
    await open();
    expect(await stateOf('user:a')).toMatchObject({ offset: 1000 });
  });

  it('is refused in words where it cannot be written', async () => {
    writeFileSync(join(directory, 'backups'), 'a file where the folder should be');
    await expect(engine.makeBackup()).rejects.toMatchObject({ code: 'engine_unavailable' });
    await publish('user:a');
    expect(await stateOf('user:a')).toMatchObject({ offset: 1 });
  });
});

describe('a store that was put back', () => {
  it('continues the epochs before, and knows which channels had more', async () => {
    await publish('user:quiet', 3);
    await publish('user:busy', 5);
    const before = { quiet: await stateOf('user:quiet'), busy: await stateOf('user:busy') };
    const { path } = await engine.makeBackup();
    await publish('user:busy', 2);
    await publish('user:late', 1);
    await engine.close();

    const { channels, lossyChannels, setAside } = restoreStore(directory, path);
    expect([channels, lossyChannels]).toEqual([2, 1]);
    expect(statSync(setAside ?? '').size).toBeGreaterThan(0);
    await open();
    const quiet = await stateOf('user:quiet');
    const busy = await stateOf('user:busy');
    expect(quiet.ancestors).toEqual([{ epoch: before.quiet.epoch, upTo: 3, isLossy: false }]);
    expect(busy.ancestors).toEqual([{ epoch: before.busy.epoch, upTo: 5, isLossy: true }]);
    expect(busy.epoch).not.toBe(before.busy.epoch);
    expect(await stateOf('user:late')).toMatchObject({ offset: 0 });
  });

  it('remembers over restarts, and over being put back once more', async () => {
    await publish('user:a', 2);
    const first = await stateOf('user:a');
    const { path } = await engine.makeBackup();
    await engine.close();
    restoreStore(directory, path);
    await open();
    await publish('user:a', 2);
    const second = await stateOf('user:a');
    const { path: later } = await engine.makeBackup();
    await engine.close();
    restoreStore(directory, later);
    await open();
    await engine.close();
    await open();
    expect((await stateOf('user:a')).ancestors).toEqual([
      { epoch: second.epoch, upTo: 4, isLossy: false },
      { epoch: first.epoch, upTo: 2, isLossy: false },
    ]);
  });

  it('takes everything for lost where the store before is gone or unreadable', async () => {
    await publish('user:a', 2);
    const { path } = await engine.makeBackup();
    await engine.close();
    writeFileSync(store(), 'no database at all, though it was one'.repeat(200));
    expect(restoreStore(directory, path)).toMatchObject({ lossyChannels: 1 });
    await rm(store());
    expect(restoreStore(directory, path)).toMatchObject({ lossyChannels: 1, setAside: undefined });
  });

  it('is known for a copy when it was put there by hand', async () => {
    await publish('user:a', 2);
    const { epoch } = await stateOf('user:a');
    const { path } = await engine.makeBackup();
    await publish('user:a', 2);
    await engine.close();
    await rm(`${store()}-wal`, { force: true });
    copyFileSync(path, store());
    await open();
    const copied = await stateOf('user:a');
    expect(copied.ancestors).toEqual([{ epoch, upTo: 2, isLossy: true }]);
    await engine.close();
    await open();
    expect(await stateOf('user:a')).toEqual(copied);
  });

  it('forgets the past of a channel with the channel', async () => {
    await publish('user:a', 1);
    const { path } = await engine.makeBackup();
    await engine.close();
    restoreStore(directory, path);
    const nowMs = Date.now() + 2 * GENEROUS_BOUNDS.channelRetentionMs;
    await open({ maxBytes: 0, now: () => nowMs });
    const rows = (): unknown => {
      const db = new DatabaseSync(store(), { readOnly: true });
      const found = db.prepare('SELECT count(*) AS rows FROM ancestor').get();
      db.close();
      return found;
    };
    await expect.poll(() => engine.health().details['history_channels'], { timeout: 10_000 }).toBe(0);
    await engine.close();
    expect(rows()).toEqual({ rows: 0 });
    await open();
  });
});

describe('restoring', () => {
  it('is refused while the store is in use', async () => {
    const { path } = await engine.makeBackup();
    expect(() => restoreStore(directory, path)).toThrow(/a service has the store in use/);
  });

  it('refuses what is no whole store of this service, and leaves everything as it was', async () => {
    await publish('user:a', 200, 1000);
    const { path } = await engine.makeBackup();
    await engine.close();
    const foreign = join(directory, 'foreign.db');
    const other = new DatabaseSync(foreign);
    other.exec('CREATE TABLE note (text TEXT); PRAGMA user_version = 1');
    other.close();
    const newer = join(directory, 'newer.db');
    copyFileSync(path, newer);
    const next = new DatabaseSync(newer);
    next.exec('PRAGMA user_version = 2');
    next.close();
    const text = join(directory, 'text.db');
    writeFileSync(text, 'a text of some length '.repeat(1000));
    const cut = join(directory, 'cut.db');
    copyFileSync(path, cut);
    truncateSync(cut, Math.floor(statSync(path).size / 2));
    const names = readdirSync(directory).toSorted();
    const refusals: [string, RegExp][] = [
      [foreign, /is not a store of this service/],
      [newer, /has schema version 2/],
      [text, /is damaged, or not a store of this service: file is not a database/],
      [cut, /is damaged/],
      [join(directory, 'none.db'), /there is no file/],
      [store(), /is the store itself/],
    ];
    for (const [file, words] of refusals) expect(() => restoreStore(directory, file)).toThrow(words);
    expect(readdirSync(directory).toSorted()).toEqual(names);
    await open();
    expect(await stateOf('user:a')).toMatchObject({ offset: 200 });
    expect(await stateOf('user:a')).not.toHaveProperty('ancestors');
  });
});
