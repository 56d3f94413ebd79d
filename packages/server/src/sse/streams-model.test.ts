/**
 * The promise of the whole delivering side, held against random histories: whatever is published, however slowly
 * peers read and however often they are cut, each stream shows every message of its channels once and in order,
 * or names it in exactly one gap.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BROADCAST_CHANNEL, type ChannelGap } from '@message-push/protocol';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import type { Place } from '../core/message.ts';
import { EmbeddedEngine } from '../engine/embedded/embedded-engine.ts';
import { GENEROUS_BOUNDS } from '../engine/embedded/generous-bounds-fixture.ts';
import { type BusFault, LossyEngine } from './lossy-engine-fixture.ts';
import { type CoreUnderTest, createTestCore, draftOf, HEAD, settle } from './stream-core-fixture.ts';
import { FakeSocket, parseEventStream, type SeenEvent } from './stream-fixture.ts';

const CHANNELS = ['user:1', 'session:1', 'channel:a', 'task:1', BROADCAST_CHANNEL];
const JOINS = [
  ['user:1', 'task:1'],
  ['task:1', 'session:1', 'user:1'],
  ['channel:a'],
  ['session:1', 'channel:a', 'task:1', 'user:1'],
];

type Step =
  | {
      readonly kind: 'publish';
      readonly to: readonly string[];
      readonly pad: number;
      readonly fault: BusFault;
    }
  | { readonly kind: 'stall' | 'cut'; readonly client: number }
  | { readonly kind: 'read'; readonly client: number; readonly bytes: number }
  | { readonly kind: 'trim'; readonly channel: string; readonly keep: number }
  | { readonly kind: 'turns'; readonly count: number };

const client = fc.nat({ max: JOINS.length - 1 });
const publishStep = fc.record({
  kind: fc.constant('publish' as const),
  // As the publish stage makes them: in the order of the target's fields, or broadcast alone.
  to: fc.oneof(fc.subarray(CHANNELS.slice(0, 4), { minLength: 1 }), fc.constant([BROADCAST_CHANNEL])),
  pad: fc.constantFrom(0, 0, 300, 2000, 6000),
  fault: fc.constantFrom<BusFault>('none', 'none', 'none', 'lost', 'doubled', 'split'),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: publishStep },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('stall' as const), client }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('cut' as const), client }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('read' as const),
      client,
      bytes: fc.oneof(fc.integer({ min: 1, max: 3000 }), fc.constant(1e9)),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('trim' as const),
      channel: fc.constantFrom(...CHANNELS),
      keep: fc.integer({ min: 0, max: 5 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('turns' as const), count: fc.integer({ min: 1, max: 6 }) }),
  },
);

// Small enough to say when it has drained, as a socket does after a page.
const newSocket = (): FakeSocket => new FakeSocket(500);

/** A native EventSource: keeps complete events, comes back with the last id. */
class Client {
  readonly joins: readonly string[];
  readonly seen: SeenEvent[] = [];
  socket = newSocket();
  #lastEventId = '';
  readonly #core: CoreUnderTest;

  constructor(core: CoreUnderTest, joins: readonly string[]) {
    this.#core = core;
    this.joins = [...joins, BROADCAST_CHANNEL];
    this.connect();
  }

  connect(): void {
    this.socket = newSocket();
    const cursor = this.#lastEventId || undefined;
    this.#core.open(this.joins.slice(0, -1), { cursor }, this.socket);
  }

  /** What has come over this connection; called once for each. */
  collect(): void {
    const { events, lastEventId } = parseEventStream(this.socket.received);
    this.seen.push(...events);
    if (lastEventId !== '') this.#lastEventId = lastEventId;
  }

  /** Not before the first frame: without a position nothing that came before is owed. */
  cut(): void {
    if (this.#lastEventId === '' && parseEventStream(this.socket.received).lastEventId === '') return;
    this.socket.destroy();
    this.collect();
    this.connect();
  }
}

interface Published {
  readonly id: string;
  readonly places: readonly Place[];
}

function checkClient({ joins, seen }: Client, published: readonly Published[], isWhole: boolean): void {
  const shown = seen.filter((e) => e.type === 'info').map((e) => e.data.id);
  expect(new Set(shown).size, 'a message is shown twice').toBe(shown.length);
  const gaps = seen
    .filter((e) => e.type === 'gap')
    .flatMap((e) => (e.data.data as { channels: ChannelGap[] }).channels);
  const newest = new Map<string, number>();
  const lastShown = new Map<string, number>();
  const byId = new Map(published.map((p) => [p.id, p]));
  for (const id of shown) {
    const places = byId.get(id)?.places.filter((p) => joins.includes(p.channel)) ?? [];
    // Parts that the bus brings one by one cannot be held to more than the order of the channel that shows them.
    for (const { channel, offset } of isWhole ? places : places.slice(0, 1)) {
      expect(offset, `${channel} out of order`).toBeGreaterThan(lastShown.get(channel) ?? 0);
      lastShown.set(channel, offset);
    }
  }
  for (const { id, places } of published) {
    const first = places.find((p) => joins.includes(p.channel));
    for (const { channel, offset } of places) newest.set(channel, offset);
    if (first === undefined) continue;
    const named = gaps.filter(({ channel, last_seen, missed }) => {
      const after = last_seen?.offset ?? 0;
      return channel === first.channel && first.offset > after && first.offset <= after + (missed ?? 0);
    });
    const ways = Number(shown.includes(id)) + named.length;
    expect(ways, `${id} at ${first.channel} ${first.offset} is shown or named ${ways} times`).toBe(1);
  }
  for (const gap of gaps) {
    expect(gap.reason).toBe('trimmed');
    const after = (gap.last_seen?.offset ?? 0) + (gap.missed ?? 0);
    if (gap.available === null) expect(after).toBeLessThanOrEqual(newest.get(gap.channel) ?? 0);
    else expect(gap.available.from).toBe(after + 1);
  }
}

async function play(
  core: CoreUnderTest,
  steps: readonly Step[],
  engine: {
    publish: (id: string, step: Step & { kind: 'publish' }) => Published | Promise<Published>;
    trim: (channel: string, keep: number) => void;
    heal: () => void;
    /** A message for several channels is announced and read in one piece. */
    isWhole: boolean;
  },
): Promise<void> {
  core.start();
  const clients = JOINS.map((joins) => new Client(core, joins));
  await settle(5);
  const published: Promise<Published>[] = [];
  for (const step of steps) {
    switch (step.kind) {
      case 'publish':
        published.push(Promise.resolve(engine.publish(`m${published.length}`, step)));
        break;
      case 'stall':
        clients[step.client]?.socket.stall();
        break;
      case 'cut':
        clients[step.client]?.cut();
        break;
      case 'read':
        clients[step.client]?.socket.letThrough(step.bytes);
        break;
      case 'trim':
        engine.trim(step.channel, step.keep);
        break;
      case 'turns':
        await settle(step.count);
    }
  }
  const all = await Promise.all(published);
  engine.heal();
  const isQuiet = (): boolean =>
    core.directory.totals().liveConnections === JOINS.length &&
    clients.every((c) => c.socket.writableLength === 0 && c.socket.received.startsWith(HEAD));
  for (const c of clients) c.socket.letThrough();
  await settle();
  await vi.waitFor(() => expect(isQuiet(), 'every stream is live again').toBe(true), {
    timeout: 5000,
    interval: 2,
  });
  // Writes of a busy stream may wait for a timer of the flusher's.
  await new Promise((resolve) => setTimeout(resolve, 5));
  for (const c of clients) {
    c.collect();
    checkClient(c, all, engine.isWhole);
    c.socket.destroy();
  }
  await settle(3);
  expect(core.directory.totals()).toMatchObject({ connections: 0, channels: 0 });
  core.stop();
}

describe('streams show every message once and in order, or name it in exactly one gap', () => {
  it('over a bus that loses, doubles and splits', { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 120 }), async (steps) => {
        const engine = new LossyEngine(Date.now);
        const core = createTestCore(engine);
        engine.listen(core.listener);
        await play(core, steps, {
          publish: (id, { to, pad, fault }) => ({
            id,
            places: engine.publish(draftOf(id, to, pad), fault).places,
          }),
          trim: (channel, keep) => engine.trim(channel, keep),
          heal: () => engine.suspectAll(),
          isWhole: false,
        });
      }),
      { numRuns: 150 },
    );
  });

  for (const maxMessagesPerChannel of [1000, 6]) {
    it(`over the embedded engine with ${maxMessagesPerChannel} messages per channel`, {
      timeout: 60_000,
    }, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 120 }), async (steps) => {
          const directory = await mkdtemp(join(tmpdir(), 'streams-'));
          const engine = new EmbeddedEngine({
            ...GENEROUS_BOUNDS,
            directory,
            maxMessagesPerChannel,
            now: Date.now,
          });
          const core = createTestCore(engine);
          try {
            await engine.open(core.listener);
            await play(core, steps, {
              publish: async (id, { to, pad }) => ({
                id,
                places: (await engine.publish(draftOf(id, to, pad))).places,
              }),
              trim: () => {},
              heal: () => {},
              isWhole: true,
            });
          } finally {
            core.stop();
            await engine.close();
            await rm(directory, { recursive: true });
          }
        }),
        { numRuns: 40 },
      );
    });
  }
});
