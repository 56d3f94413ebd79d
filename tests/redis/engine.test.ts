/** What the Redis engine promises beyond the suite of all engines, on a real server. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { EngineListener } from '@message-push/server/core/engine';
import type { Draft, Publication } from '@message-push/server/core/message';
import { decideRecovery } from '@message-push/server/core/recovery';
import type { RedisEngine } from '@message-push/server/engine/redis/redis-engine';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createRedisEngine, type RedisEngineOptions } from '../support/redis/create-redis-engine.ts';
import { RedisServer } from '../support/redis/redis-server.ts';

class Recorder implements EngineListener {
  readonly publications: Publication[] = [];
  readonly suspects = new Set<string>();
  onPublications(publications: readonly Publication[]): void {
    this.publications.push(...publications);
  }
  onSuspect(channels: readonly string[]): void {
    for (const channel of channels) this.suspects.add(channel);
  }
  get offsets(): (number | undefined)[] {
    return this.publications.map(({ places }) => places[0]?.offset);
  }
}

/** Bounds of the engine, and settings that differ from the usual ones of these tests. */
type OpenOptions = Omit<Partial<RedisEngineOptions>, 'settings'> & {
  readonly settings?: Partial<RedisEngineOptions['settings']>;
};

const RETENTION_DAYS = 7;
const FINGERPRINT = 'abcdefghijklmnopqrstuv';
const PAGE = 1 << 20;
let count = 0;

function draft(
  channels: string | string[],
  options: Partial<Draft> & { id?: string; text?: string } = {},
): Draft {
  const { id = `m${++count}`, text = id, ...rest } = options;
  return {
    message: {
      id,
      type: 'info',
      channels: [channels].flat(),
      exclude: undefined,
      timeMs: Date.now(),
      json: Buffer.from(JSON.stringify({ id, text })),
    },
    ttlMs: 3_600_000,
    hasOwnTtl: false,
    fingerprint: undefined,
    ack: 'stored',
    ...rest,
  };
}

/** A proxy between a node and its server that can silence all open bus connections. */
class DeafeningProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #buses = new Map<Socket, Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  static async start(target: number): Promise<DeafeningProxy> {
    const server = createServer();
    const proxy = new DeafeningProxy(server);
    server.on('connection', (near) => {
      const far = connect(target, '127.0.0.1');
      for (const socket of [near, far]) {
        proxy.#sockets.add(socket);
        socket.on('error', () => socket.destroy());
        socket.on('close', () => {
          proxy.#sockets.delete(socket);
          near.destroy();
          far.destroy();
        });
      }
      near.on('data', (bytes) => {
        if (bytes.includes('-bus')) proxy.#buses.set(near, far);
      });
      near.pipe(far);
      far.pipe(near);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  deafen(): void {
    for (const [near, far] of this.#buses) {
      far.unpipe(near);
      far.resume();
    }
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

describe('the redis engine', () => {
  let server: RedisServer;
  let prefix: string;
  const opened: RedisEngine[] = [];

  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server.dispose());
  beforeEach(() => {
    prefix = `engine${++count}:`;
  });
  afterEach(async () => {
    for (const engine of opened.splice(0)) await engine.close();
  });

  const open = async (
    { settings = {}, ...bounds }: OpenOptions = {},
    listener: EngineListener = new Recorder(),
  ): Promise<RedisEngine> => {
    const engine = createRedisEngine({
      maxMessagesPerChannel: 1000,
      nodeId: (0x2000_0000 + ++count).toString(16),
      ...bounds,
      settings: {
        nodes: [server],
        database: 5,
        connectTimeoutMs: 1000,
        socketTimeoutMs: 1000,
        keyPrefix: prefix,
        ...settings,
      },
    });
    await engine.open(listener);
    opened.push(engine);
    return engine;
  };
  const ready = (engine: RedisEngine) =>
    expect.poll(() => engine.health().status, { timeout: 20_000, interval: 50 }).toBe('healthy');
  const recoveryOf = async (
    engine: RedisEngine,
    channel: string,
    position: { epoch: string; offset: number },
  ) => {
    const [state] = await engine.states([channel]);
    if (state === undefined) throw new Error('one channel was asked for');
    return decideRecovery(position, state, Date.now(), RETENTION_DAYS);
  };
  const command = (...args: string[]) => server.command('-n', '5', ...args);

  it('announces to every node that watches, in one order', async () => {
    const recorders = [new Recorder(), new Recorder(), new Recorder()];
    const engines = await Promise.all(recorders.map((recorder) => open({}, recorder)));
    for (const engine of engines) await engine.watch(['user:a']);
    await Promise.all(
      Array.from({ length: 300 }, (_, i) => (engines[i % 3] as RedisEngine).publish(draft('user:a'))),
    );
    const all = Array.from({ length: 300 }, (_, i) => i + 1);
    for (const recorder of recorders) await expect.poll(() => recorder.offsets).toEqual(all);
    const ids = recorders.map((r) => r.publications.map((p) => p.message.id));
    expect(ids[1]).toEqual(ids[0]);
    expect(ids[2]).toEqual(ids[0]);
  });

  it('keeps the order of a turn on one channel and on several', async () => {
    const recorder = new Recorder();
    const engine = await open({}, recorder);
    await engine.watch(['user:a', 'task:b']);
    const texts = Array.from({ length: 40 }, (_, i) => String(i));
    await Promise.all(texts.map((text, i) => engine.publish(draft(i % 3 ? 'user:a' : 'task:b', { text }))));
    await expect
      .poll(() => recorder.publications.map((p) => JSON.parse(Buffer.from(p.message.json).toString()).text))
      .toEqual(texts);
  });

  it('hears nothing of other databases and other prefixes', async () => {
    const recorder = new Recorder();
    const engine = await open({}, recorder);
    await engine.watch(['user:a']);
    const elsewhere = await open({ settings: { database: 6 } });
    await elsewhere.publish(draft('user:a'));
    const otherPrefix = await open({ settings: { keyPrefix: `${prefix}x:` } });
    await otherPrefix.publish(draft('user:a'));
    await engine.publish(draft('user:a', { text: 'ours' }));
    await expect.poll(() => recorder.publications.length).toBe(1);
    expect(recorder.offsets).toEqual([1]);
  });

  it('goes on under a new epoch after a restart, and nobody is told of a gap', async () => {
    const recorder = new Recorder();
    const engine = await open({}, recorder);
    await engine.watch(['user:a']);
    const before = await engine.publish(draft('user:a'));
    await server.stop();
    await server.start();
    await ready(engine);
    const after = await engine.publish(draft('user:a'));
    expect(after.places[0]?.offset).toBe(2);
    expect(after.places[0]?.epoch).not.toBe(before.places[0]?.epoch);
    const position = { epoch: before.places[0]?.epoch ?? '', offset: 1 };
    expect(await recoveryOf(engine, 'user:a', position)).toEqual({ kind: 'recover', after: 1 });
    await expect.poll(() => recorder.offsets).toEqual([1, 2]);
  });

  it('takes an emptied server for another life of every log', async () => {
    const engine = await open();
    const { places } = await engine.publish(draft('user:a'));
    await server.restart({ isEmptied: true });
    await ready(engine);
    const position = { epoch: places[0]?.epoch ?? '', offset: 1 };
    expect(await recoveryOf(engine, 'user:a', position)).toMatchObject({
      kind: 'gap',
      reason: 'epoch_changed',
    });
    await engine.publish(draft('user:a'));
    await engine.publish(draft('user:a'));
    expect(await recoveryOf(engine, 'user:a', position)).toMatchObject({
      kind: 'gap',
      reason: 'epoch_changed',
    });
  });

  it('announces what was acknowledged and is missing after the server came back with an older state', async () => {
    const recorder = new Recorder();
    const engine = await open({}, recorder);
    await engine.watch(['user:a', 'user:b']);
    for (let i = 0; i < 3; i++) await engine.publish(draft('user:a'));
    // The state of a server that takes over without the last two entries.
    const keys = ['5:l', 'h'].map((kind) => `${prefix}${kind}:{user:a}`);
    for (const key of keys) await command('COPY', key, `${key}-behind`);
    for (let i = 0; i < 2; i++) await engine.publish(draft('user:a'));
    await engine.publish(draft('user:b'));
    const { epoch } = (await engine.publish(draft('user:b'))).places[0] ?? { epoch: '' };
    const [kept] = await engine.states(['user:a']);
    for (const key of keys) await command('COPY', `${key}-behind`, key, 'REPLACE');
    await server.stop();
    await server.start();
    await ready(engine);
    await expect.poll(() => engine.health().details['losses_announced']).toBe(1);
    const [state] = await engine.states(['user:a']);
    expect(state?.ancestors).toEqual([{ epoch: kept?.epoch, upTo: 3, isLossy: true }]);
    const old = (offset: number) => ({ epoch: kept?.epoch ?? '', offset });
    expect(await recoveryOf(engine, 'user:a', old(2))).toMatchObject({
      kind: 'recover',
      stage: { until: 3 },
    });
    for (const offset of [3, 5]) {
      const gap = { kind: 'gap', reason: 'rolled_back', after: 3 };
      expect(await recoveryOf(engine, 'user:a', old(offset))).toMatchObject(gap);
    }
    expect(await recoveryOf(engine, 'user:b', { epoch, offset: 2 })).toEqual({ kind: 'recover', after: 2 });
    expect(recorder.suspects).toContain('user:a');
  });

  it('begins a new epoch when a log was evicted, and says what of its history was', async () => {
    const engine = await open();
    const first = await engine.publish(draft('user:a'));
    await command('DEL', `${prefix}5:l:{user:a}`);
    const second = await engine.publish(draft('user:a'));
    expect(second.places[0]?.offset).toBe(1);
    expect(second.places[0]?.epoch).not.toBe(first.places[0]?.epoch);
    await engine.publish(draft('user:a'));
    await command('DEL', `${prefix}h:{user:a}`);
    const third = await engine.publish(draft('user:a'));
    expect(third.places[0]?.offset).toBe(3);
    const page = await engine.read([{ channel: 'user:a', offset: 0 }], PAGE);
    expect(page.channels[0]?.state.floor).toBe(2);
    expect(page.publications).toHaveLength(1);
  });

  it('keeps no more bytes of a channel than it may', async () => {
    const engine = await open({ maxBytesPerChannel: 20_000 });
    const text = 'x'.repeat(900);
    for (let i = 0; i < 10; i++)
      await Promise.all(Array.from({ length: 10 }, () => engine.publish(draft('user:a', { text }))));
    const { channels } = await engine.channels({ prefix: 'user:', after: '', limit: 10 });
    expect(channels[0]?.bytes).toBeLessThanOrEqual(20_000);
    expect(channels[0]?.bytes).toBeGreaterThan(10_000);
    const page = await engine.read([{ channel: 'user:a', offset: 0 }], PAGE);
    expect(page.channels[0]?.state.floor).toBe(100 - page.publications.length);
  });

  it('lets history expire, and its server forget it', async () => {
    const engine = await open({ channelRetentionMs: 1500 });
    await engine.publish(draft('user:a', { ttlMs: 400 }));
    expect(Number(await command('PTTL', `${prefix}h:{user:a}`))).toBeGreaterThan(0);
    await expect.poll(() => command('EXISTS', `${prefix}h:{user:a}`), { timeout: 3000 }).toContain('0');
    const [state] = await engine.states(['user:a']);
    expect(state).toMatchObject({ offset: 1, floor: 1 });
    await expect.poll(() => command('EXISTS', `${prefix}5:l:{user:a}`), { timeout: 3000 }).toContain('0');
  });

  it('does not expire what was published without a ttl', async () => {
    const engine = await open();
    await engine.publish(draft('user:a', { ttlMs: 400 }));
    await engine.publish(draft('user:a', { ttlMs: undefined }));
    expect((await command('PTTL', `${prefix}h:{user:a}`)).trim()).toBe('-1');
    expect((await command('PTTL', `${prefix}5:l:{user:a}`)).trim()).toBe('-1');
  });

  it('answers within its time when the server hangs, and the server does nothing of it later', async () => {
    const engine = await open();
    await engine.publish(draft('user:a', { text: 'before' }));
    server.freeze();
    const startedMs = performance.now();
    const late = [engine.publish(draft('user:a', { text: 'late' })), engine.publish(draft('user:b'))];
    const outcomes = await Promise.allSettled(late);
    const tookMs = performance.now() - startedMs;
    server.thaw();
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'engine_unavailable' } });
    }
    expect(tookMs).toBeLessThan(2500);
    await ready(engine);
    await engine.publish(draft('user:a', { text: 'after' }));
    const page = await engine.read([{ channel: 'user:a', offset: 0 }], PAGE);
    const texts = page.publications.map((p) => JSON.parse(Buffer.from(p.message.json).toString()).text);
    expect(texts).toEqual(['before', 'after']);
  });

  it('fails at once while the server is away, says so, and comes back by itself', async () => {
    const recorder = new Recorder();
    const engine = await open({}, recorder);
    await engine.watch(['user:a']);
    await engine.publish(draft('user:a'));
    await expect.poll(() => recorder.offsets).toEqual([1]);
    await server.stop();
    await expect.poll(() => engine.health().status, { timeout: 5000 }).toBe('unhealthy');
    await expect(engine.publish(draft('user:a'))).rejects.toMatchObject({ code: 'engine_unavailable' });
    await server.start();
    await ready(engine);
    const { places } = await engine.publish(draft('user:a'));
    expect(places[0]?.offset).toBe(2);
    await expect.poll(() => recorder.offsets).toEqual([1, 2]);
    expect(recorder.suspects).toContain('user:a');
  });

  it('hears what is watched again in the moment in which it was left', async () => {
    const recorder = new Recorder();
    const engine = await open({}, recorder);
    await engine.watch(['user:a']);
    for (let i = 1; i <= 20; i++) {
      engine.unwatch(['user:a']);
      await engine.watch(['user:a']);
      await engine.publish(draft('user:a'));
      await expect.poll(() => recorder.offsets.at(-1)).toBe(i);
    }
  });

  it('hears again when its bus connection is killed, and says what it may have missed', async () => {
    const recorder = new Recorder();
    const engine = await open({}, recorder);
    await engine.watch(['user:a']);
    await command('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await expect.poll(() => recorder.suspects.has('user:a'), { timeout: 5000 }).toBe(true);
    await engine.publish(draft('user:a'));
    await expect.poll(() => recorder.offsets).toEqual([1]);
  });

  it('finds what the bus did not bring, and keeps the state of a log that is watched', async () => {
    const recorder = new Recorder();
    const engine = await open({ channelRetentionMs: 60_000 }, recorder);
    await engine.publish(draft('user:a', { ttlMs: 1000 }));
    await engine.watch(['user:a']);
    const log = `${prefix}5:l:{user:a}`;
    await command('PEXPIRE', log, '20000');
    // As if the second publication had never been announced.
    const newestIsTheSecond = "redis.call('SETRANGE', KEYS[1], 8, struct.pack('<d', 2))";
    await command('EVAL', newestIsTheSecond, '1', log);
    await expect.poll(() => recorder.suspects.has('user:a'), { timeout: 30_000 }).toBe(true);
    await expect
      .poll(async () => Number(await command('PTTL', log)), { timeout: 5000 })
      .toBeGreaterThan(50_000);
  });

  it('finds out that a bus connection is deaf', async () => {
    const proxy = await DeafeningProxy.start(server.port);
    try {
      const recorder = new Recorder();
      const engine = await open({ settings: { nodes: [{ host: '127.0.0.1', port: proxy.port }] } }, recorder);
      await engine.watch(['user:a']);
      await engine.publish(draft('user:a'));
      await expect.poll(() => recorder.offsets).toEqual([1]);
      proxy.deafen();
      await engine.publish(draft('user:a'));
      await expect.poll(() => engine.health().details['bus_reconnects'], { timeout: 15_000 }).toBe(1);
      await ready(engine);
      expect(recorder.suspects).toContain('user:a');
      await engine.publish(draft('user:a'));
      await expect.poll(() => recorder.offsets).toEqual([1, 3]);
    } finally {
      await proxy.close();
    }
  });

  it('stores and announces nothing more when memory is full, and says so', async () => {
    const recorder = new Recorder();
    const engine = await open({}, recorder);
    const mine = `connection:${engine.newConnectionId()}`;
    await engine.watch([mine]);
    const drafts = [
      draft('user:a'),
      draft('user:a', { fingerprint: FINGERPRINT }),
      draft(mine, { fingerprint: FINGERPRINT }),
    ];
    await engine.publish(draft('user:b', { fingerprint: FINGERPRINT }));
    await command('CONFIG', 'SET', 'maxmemory', '1');
    try {
      for (const each of drafts) {
        await expect(engine.publish(each)).rejects.toMatchObject({ code: 'storage_full' });
      }
    } finally {
      await command('CONFIG', 'SET', 'maxmemory', '0');
    }
    expect((await engine.publish(draft('user:a'))).places[0]?.offset).toBe(1);
    const next = draft(mine);
    await engine.publish(next);
    await expect
      .poll(() => recorder.publications.map(({ message }) => message.id))
      .toEqual([next.message.id]);
  });

  it('finds an id in every window that may have it, and frees those that cannot', async () => {
    // A window of some days that ends in 40 s, so that a clock that goes back over its end goes back only a little.
    const windowMs = Math.round((Date.now() + 40_000) / 2000);
    const engine = await open({ idempotencyTtlMs: windowMs });
    const first = draft('user:a', { fingerprint: FINGERPRINT });
    const { places } = await engine.publish(first);
    const keyOf = (window: number) => `${prefix}r:${windowMs}:${window}`;
    const windows = async (): Promise<number[]> => {
      const keys = await command('--raw', 'KEYS', `${prefix}r:*`);
      return keys
        .trim()
        .split('\n')
        .map((key) => Number(key.split(':').at(-1)));
    };
    const move = (from: number, to: number) => command('RENAME', keyOf(from), keyOf(to));
    const now = Math.floor(Date.now() / windowMs);
    expect(await windows()).toEqual([now]);
    const keptMs = Number(await command('PTTL', keyOf(now)));
    expect(keptMs).toBeGreaterThan(windowMs);
    expect(keptMs).toBeLessThan(windowMs + 110_000);

    await move(now, now - 1);
    expect(await engine.publish(first)).toMatchObject({ isRepeat: true, places });
    await move(now - 1, now + 1);
    expect(await engine.publish(first)).toMatchObject({ isRepeat: true, places });

    await command('DEL', keyOf(now));
    await move(now + 1, now - 2);
    await engine.publish(draft('user:a', { fingerprint: FINGERPRINT }));
    expect(await windows()).toEqual([now]);
  });

  it('goes on when somebody flushes the scripts', async () => {
    const engine = await open();
    await command('SCRIPT', 'FLUSH');
    expect((await engine.publish(draft('user:a'))).places[0]?.offset).toBe(1);
  });
});
