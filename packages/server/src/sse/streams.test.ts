import { encodeCursor, unbornPosition } from '@message-push/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LossyEngine } from './lossy-engine-fixture.ts';
import {
  type CoreUnderTest,
  createTestCore,
  cursorOf,
  draftOf,
  eventsOf,
  HEAD,
  settle,
  shownOn,
} from './stream-core-fixture.ts';
import type { FakeSocket } from './stream-fixture.ts';

describe('a stream', () => {
  let engine: LossyEngine;
  let core: CoreUnderTest;
  let count: number;

  const make = (changes?: Parameters<typeof createTestCore>[1]): void => {
    core = createTestCore(engine, changes);
    engine.listen(core.listener);
  };
  const publish = (channels: readonly string[], pad = 0): string => {
    const id = `m${++count}`;
    engine.publish(draftOf(id, channels, pad));
    return id;
  };
  const gapsOn = (socket: FakeSocket) =>
    eventsOf(socket)
      .filter((e) => e.type === 'gap')
      .map((e) => (e.data.data as { channels: object[] }).channels);

  beforeEach(() => {
    count = 0;
    engine = new LossyEngine(Date.now);
    make();
  });
  afterEach(() => {
    core.stop();
    vi.useRealTimers();
  });

  it('begins with its head, retry and cursor, then shows what is published', async () => {
    const socket = core.open(['user:1']);
    await settle();
    publish(['user:1']);
    publish(['broadcast']);
    publish(['user:2']);
    await settle();
    expect(socket.received.startsWith(`${HEAD}retry: 1000\nid: `)).toBe(true);
    expect(shownOn(socket)).toEqual(['m1', 'm2']);
  });

  it('shows a message for several of its channels once, live and in replay', async () => {
    const socket = core.open(['user:1', 'task:1']);
    await settle();
    const start = cursorOf(socket);
    publish(['user:1', 'task:1']);
    publish(['task:1', 'user:2']);
    publish(['user:1', 'connection:none']);
    await settle();
    expect(shownOn(socket)).toEqual(['m1', 'm2', 'm3']);
    const again = core.open(['user:1', 'task:1'], { cursor: start });
    await settle();
    expect(shownOn(again)).toEqual(['m1', 'm2', 'm3']);
    expect(cursorOf(again)).toBe(cursorOf(socket));
  });

  it('reads history when the bus leaves a hole, though its socket is idle', async () => {
    const socket = core.open(['user:1']);
    await settle();
    publish(['user:1']);
    engine.publish(draftOf('lost', ['user:1']), 'lost');
    publish(['user:1']);
    await settle();
    expect(shownOn(socket)).toEqual(['m1', 'lost', 'm2']);
  });

  it('reads history when a suspicion turns out to be right', async () => {
    const socket = core.open(['user:1']);
    await settle();
    engine.publish(draftOf('lost', ['user:1']), 'lost');
    engine.suspectAll();
    await settle();
    expect(shownOn(socket)).toEqual(['lost']);
  });

  it('shows nothing twice when the bus doubles and splits', async () => {
    const socket = core.open(['user:1', 'task:1']);
    await settle();
    engine.publish(draftOf('a', ['user:1', 'task:1']), 'doubled');
    engine.publish(draftOf('b', ['user:1', 'task:1']), 'split');
    await settle();
    expect(shownOn(socket)).toEqual(['a', 'b']);
  });

  it('misses nothing that was announced while the engine was being asked for positions', async () => {
    const unborn = unbornPosition(Date.now());
    engine.isManual = true;
    const socket = core.open(['user:1'], {
      cursor: encodeCursor(['user:1', 'broadcast'], [unborn, unborn]),
    });
    engine.answer();
    // The answer is of the moment before; it arrives after the announcement.
    publish(['user:1']);
    engine.isManual = false;
    await settle();
    expect(shownOn(socket)).toEqual(['m1']);
  });

  it('gets exactly one gap for a position of the future, and goes on from there', async () => {
    publish(['user:1']);
    const first = core.open(['user:1']);
    await settle();
    publish(['user:1']);
    await settle();
    const cursor = cursorOf(first).replace('~2.', '~zz.');
    expect(cursor).not.toBe(cursorOf(first));
    const socket = core.open(['user:1'], { cursor });
    await settle();
    publish(['user:1']);
    await settle();
    expect(gapsOn(socket)).toMatchObject([
      [{ channel: 'user:1', reason: 'offset_in_future', missed: null, available: null }],
    ]);
    expect(shownOn(socket)).toEqual(['m3']);
  });

  it('gets exactly one gap with its bounds for a trimmed channel, then what is left', async () => {
    const first = core.open(['user:1']);
    await settle();
    publish(['user:1']);
    await settle();
    const cursor = cursorOf(first);
    first.destroy();
    for (let i = 0; i < 9; i++) publish(['user:1']);
    engine.trim('user:1', 3);
    const socket = core.open(['user:1'], { cursor });
    await settle();
    expect(gapsOn(socket)).toMatchObject([
      [{ channel: 'user:1', reason: 'trimmed', missed: 6, available: { from: 8, to: 10 } }],
    ]);
    expect(shownOn(socket)).toEqual(['m8', 'm9', 'm10']);
  });

  it('gets one gap for a busy channel, though it loses more while its page is handed over', async () => {
    const first = core.open(['user:1']);
    await settle();
    publish(['user:1']);
    await settle();
    const cursor = cursorOf(first);
    first.destroy();
    for (let i = 0; i < 9; i++) publish(['user:1']);
    engine.trim('user:1', 3);
    engine.afterRead = () => {
      engine.afterRead = undefined;
      publish(['user:1']);
      engine.trim('user:1', 3);
    };
    const socket = core.open(['user:1'], { cursor });
    await settle();
    expect(gapsOn(socket)).toHaveLength(1);
    expect(shownOn(socket)).toEqual(['m8', 'm9', 'm10', 'm11']);
  });

  it('gets exactly one gap for another life of a log, then all of the new one', async () => {
    const first = core.open(['user:1']);
    await settle();
    for (let i = 0; i < 5; i++) publish(['user:1']);
    await settle();
    const cursor = cursorOf(first);
    first.destroy();
    engine.forget('user:1');
    for (let i = 0; i < 7; i++) publish(['user:1']);
    const socket = core.open(['user:1'], { cursor });
    await settle();
    expect(gapsOn(socket)).toMatchObject([[{ channel: 'user:1', reason: 'epoch_changed', missed: null }]]);
    expect(shownOn(socket)).toEqual(['m6', 'm7', 'm8', 'm9', 'm10', 'm11', 'm12']);
  });

  it('gets exactly one gap for a cursor of other channels, and is live', async () => {
    const first = core.open(['user:1']);
    await settle();
    const socket = core.open(['user:2'], { cursor: cursorOf(first) });
    await settle();
    publish(['user:2']);
    await settle();
    expect(gapsOn(socket)).toMatchObject([
      [{ reason: 'invalid_cursor' }, { channel: 'broadcast', reason: 'invalid_cursor' }],
    ]);
    expect(shownOn(socket)).toEqual(['m1']);
  });

  it('that does not read is fed from history and holds no more than its bound', async () => {
    const socket = core.open(['user:1']);
    await settle();
    socket.stall();
    const ids: string[] = [];
    for (let i = 0; i < 100; i++) {
      ids.push(publish(['user:1'], 500));
      if (i % 10 === 0) await settle(2);
      expect(socket.writableLength).toBeLessThan(4096 + 2000);
    }
    await settle();
    expect(core.counters.slowSessions).toBe(1);
    core.start();
    socket.letThrough();
    await vi.waitFor(() => expect(shownOn(socket)).toEqual(ids), 5000);
    expect(core.directory.totals().liveConnections).toBe(1);
  });

  it('answers with its head before its farewell when the engine cannot open its channels', async () => {
    engine.failure = new Error('away');
    const socket = core.open(['user:1']);
    await settle();
    expect(socket.received.startsWith(`${HEAD}retry: `)).toBe(true);
    expect(socket.received).toContain('event: reconnect\n');
    expect(core.closed).toEqual(['engine_failed']);
    engine.failure = undefined;
    const again = core.open(['user:1']);
    await settle();
    publish(['user:1']);
    await settle();
    expect(shownOn(again)).toEqual(['m1']);
  });

  it('that is told to go while it opens gets its head first, and nothing after', async () => {
    engine.isManual = true;
    const socket = core.open(['user:1']);
    await core.streams.drain(0);
    engine.answer();
    await settle();
    expect(socket.received.startsWith(`${HEAD}retry: `)).toBe(true);
    expect(socket.received.match(/event: /g)).toHaveLength(1);
    expect(core.closed).toEqual(['draining']);
  });

  it('gets no heartbeat before its head', async () => {
    vi.useFakeTimers();
    make({ heartbeatMs: 100 });
    core.start();
    engine.isManual = true;
    const socket = core.open(['user:1']);
    await vi.advanceTimersByTimeAsync(1000);
    expect(socket.received).toBe('');
    engine.answer();
    await vi.advanceTimersByTimeAsync(1000);
    expect(socket.received.startsWith(`${HEAD}retry: `)).toBe(true);
    expect(socket.received).toContain('event: heartbeat\n');
  });

  it('is counted no longer than it lasts, however its socket ends', async () => {
    const endings: ((socket: FakeSocket, id: string) => void)[] = [
      (socket) => socket.destroy(),
      (socket) => socket.destroy(new Error('reset')),
      (socket) => {
        socket.push(null);
      },
      // The peer of this one never closes its side.
      (_, id) => core.directory.kick(id),
    ];
    for (const isOpening of [false, true]) {
      for (const end of endings) {
        engine.isManual = isOpening;
        const socket = core.open(['user:1']);
        if (!isOpening) await settle();
        const [view] = core.directory.connections({ limit: 1 }).connections;
        end(socket, view?.connectionId ?? '');
        await settle();
        engine.answer();
        await settle();
        expect(socket.destroyed).toBe(true);
        expect(core.directory.totals()).toMatchObject({ connections: 0, channels: 0 });
        engine.isManual = false;
      }
    }
  });

  it('that is refused is told to come back, and lets go of its socket', async () => {
    make({ maxConnections: 1 });
    core.open(['user:1']);
    const socket = core.open(['user:2']);
    await settle();
    expect(socket.received).toContain('"reason":"too_many_connections"');
    expect(socket.destroyed).toBe(true);
    expect(core.directory.totals().connections).toBe(1);
  });

  describe('whose user may have streams on other nodes', () => {
    let answers: PromiseWithResolvers<boolean>[];
    let released: string[];
    const openOf = (userId: string): FakeSocket => core.open([`user:${userId}`], { userId });

    beforeEach(() => {
      answers = [];
      released = [];
      make({
        maxConnections: 3,
        userQuota: {
          reserve: () => {
            const answer = Promise.withResolvers<boolean>();
            answers.push(answer);
            return answer.promise;
          },
          release: (userId) => void released.push(userId),
        },
      });
    });

    it('opens when it is admitted, and is released once when it ends', async () => {
      const socket = openOf('1');
      await settle();
      expect(socket.received).toBe('');
      answers[0]?.resolve(true);
      await settle();
      expect(core.directory.totals().liveConnections).toBe(1);
      expect(socket.listenerCount('end'), 'no listener twice').toBe(1);
      socket.destroy();
      await settle();
      expect(released).toEqual(['1']);
      const nobody = core.open(['kb:1']);
      await settle();
      expect(core.directory.totals().liveConnections).toBe(1);
      nobody.destroy();
      await settle();
      expect(released).toEqual(['1']);
    });

    it('is told to come back when there are as many as may be, or nobody can say', async () => {
      const sockets = [openOf('1'), openOf('2')];
      answers[0]?.resolve(false);
      answers[1]?.reject(new Error('away'));
      await settle();
      expect(sockets.map((s) => eventsOf(s).map((e) => e.data.data))).toMatchObject([
        [{ reason: 'too_many_connections_of_user' }],
        [{ reason: 'engine_failed' }],
      ]);
      expect(sockets.map((s) => s.destroyed)).toEqual([true, true]);
      expect(released).toEqual([]);
      expect(core.directory.totals().connections).toBe(0);
    });

    it('gives back what it was granted when it cannot open any more', async () => {
      const [gone, late] = [openOf('1'), openOf('2')];
      gone.destroy();
      await settle();
      answers[0]?.resolve(true);
      void core.streams.drain(0);
      answers[1]?.resolve(true);
      await settle();
      expect(released.toSorted()).toEqual(['1', '2']);
      expect(late.received).toContain('"reason":"draining"');
      expect(core.directory.totals().connections).toBe(0);
    });

    it('takes a place of the process while it waits', async () => {
      for (const userId of ['1', '2', '3']) openOf(userId);
      expect(openOf('4').received).toContain('"reason":"too_many_connections"');
      expect(answers.length).toBe(3);
      for (const answer of answers) answer.resolve(true);
      await settle();
      expect(core.directory.totals().connections).toBe(3);
    });
  });

  it('catches up when its bytes are out, though they were too few for the socket to say so', async () => {
    make({ maxTotalOutboxBytes: 0 });
    core.start();
    const other = core.open(['user:2']);
    const socket = core.open(['user:1']);
    await settle();
    other.stall();
    publish(['user:2'], 300);
    await vi.waitFor(() => expect(core.counters.outboxBytes).toBeGreaterThan(0), 2000);
    socket.stall();
    publish(['user:1']);
    await settle();
    publish(['user:1']);
    other.letThrough();
    socket.letThrough();
    await vi.waitFor(() => expect(shownOn(socket)).toEqual(['m2', 'm3']), 2000);
    expect(shownOn(other)).toEqual(['m1']);
  });
});

describe('a peer', () => {
  const run = async (
    use: (
      socket: FakeSocket,
      passMs: (ms: number) => Promise<void>,
      core: CoreUnderTest,
      engine: LossyEngine,
    ) => Promise<void>,
  ) => {
    vi.useFakeTimers();
    const engine = new LossyEngine(Date.now);
    const core = createTestCore(engine, { stallMs: 5000, maxOutboxBytes: 100_000 });
    engine.listen(core.listener);
    core.start();
    const socket = core.open(['user:1']);
    await vi.advanceTimersByTimeAsync(10);
    await use(socket, async (ms) => void (await vi.advanceTimersByTimeAsync(ms)), core, engine);
    core.stop();
    vi.useRealTimers();
  };

  it('that takes nothing for CONNECTION_TIMEOUT is cut', () =>
    run(async (socket, passMs, core, engine) => {
      socket.stall();
      engine.publish(draftOf('a', ['user:1']));
      await passMs(4000);
      expect(core.closed).toEqual([]);
      await passMs(2000);
      expect(core.closed).toEqual(['stalled']);
    }));

  it('that stood still once and has taken everything is not cut', () =>
    run(async (socket, passMs, core, engine) => {
      socket.stall();
      engine.publish(draftOf('a', ['user:1']));
      await passMs(1000);
      socket.letThrough();
      await passMs(20_000);
      expect(core.closed).toEqual([]);
      expect(shownOn(socket)).toEqual(['a']);
    }));

  it('that reads slowly is not cut, whatever is written meanwhile', () =>
    run(async (socket, passMs, core, engine) => {
      socket.stall();
      for (let i = 0; i < 40; i++) {
        engine.publish(draftOf(`m${i}`, ['user:1'], 2000));
        await passMs(1000);
        socket.letThrough(1500);
      }
      expect(core.closed).toEqual([]);
    }));
});
