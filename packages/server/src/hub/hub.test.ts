import { unbornAgeDays, unbornPosition } from '@message-push/protocol';
import { beforeEach, describe, expect, it } from 'vitest';
import type { LogState } from '../core/engine.ts';
import type { Message, Place } from '../core/message.ts';
import type { Delivery } from './delivery.ts';
import { Hub } from './hub.ts';
import type { HubChannel } from './hub-channel.ts';
import type { Subscriber } from './subscriber.ts';

const DAY_MS = 86_400_000;
const NOW = Date.UTC(2026, 0, 20, 12);

class Recorder implements Subscriber {
  readonly memberIndexes: number[];
  readonly heard: string[] = [];
  readonly connectionId: string;
  readonly channels: readonly HubChannel[];

  constructor(connectionId: string, channels: readonly HubChannel[]) {
    this.connectionId = connectionId;
    this.channels = channels;
    this.memberIndexes = channels.map(() => 0);
  }

  deliver({ message, channel }: Delivery): void {
    this.heard.push(`${message.id} on ${channel.name} at ${this.cursor}`);
  }
  pass(channel: HubChannel): void {
    this.heard.push(`pass ${channel.name}`);
  }
  deliverDirectly(message: Message): boolean {
    this.heard.push(`${message.id} directly`);
    return true;
  }
  fallBehind(): void {
    this.heard.push(`behind ${this.cursor}`);
  }

  get cursor(): string {
    return this.channels.map((c) => c.offset).join();
  }
}

describe('the hub', () => {
  let hub: Hub;
  let states: Map<string, LogState>;
  let unwatched: string[];
  let watched: string[];
  let failure: Error | undefined;
  let recorders: Map<string, Recorder>;

  const stateOf = (name: string): LogState => states.get(name) ?? { ...unbornPosition(NOW), floor: 0 };
  beforeEach(() => {
    states = new Map();
    unwatched = [];
    watched = [];
    failure = undefined;
    recorders = new Map();
    hub = new Hub({
      engine: {
        watch: async (names) => {
          watched.push(...names);
          if (failure !== undefined) throw failure;
          return names.map(stateOf);
        },
        unwatch: (names) => void unwatched.push(...names),
        states: async (names) => names.map(stateOf),
      },
      findConnection: (id) => recorders.get(id),
      lingerMs: 1000,
      onTurnEnd: () => {},
    });
  });
  const join = async (id: string, names: readonly string[]): Promise<Recorder> => {
    const channels = hub.open(names, NOW);
    const recorder = new Recorder(id, channels);
    recorders.set(id, recorder);
    hub.attach(recorder);
    await hub.opened(channels);
    return recorder;
  };
  const publish = (
    id: string,
    places: Readonly<Record<string, number>>,
    more: { channels?: string[]; exclude?: string[]; epoch?: string } = {},
  ): void => {
    const { channels = Object.keys(places), exclude, epoch = 'e' } = more;
    const all: Place[] = Object.entries(places).map(([channel, offset]) => ({
      channel,
      offset,
      epoch: offset === 0 ? '' : epoch,
    }));
    const message = { id, type: 'info', channels, exclude, timeMs: NOW, json: new Uint8Array() };
    hub.onPublications([{ message, places: all, order: 1 }]);
  };

  it('hands on what follows, passes over a repeat, and sends to history what does not', async () => {
    const a = await join('a', ['user:1']);
    publish('m1', { 'user:1': 1 });
    publish('m1', { 'user:1': 1 });
    publish('m2', { 'user:1': 2 });
    publish('m4', { 'user:1': 4 });
    publish('m5', { 'user:1': 5 });
    publish('n1', { 'user:1': 1 }, { epoch: 'other' });
    expect(a.heard).toEqual([
      'm1 on user:1 at 1',
      'm2 on user:1 at 2',
      'behind 2',
      'm5 on user:1 at 5',
      'behind 5',
    ]);
  });

  it('moves all channels of a message before it is shown, once, on the first joined', async () => {
    const both = await join('both', ['task:1', 'user:1']);
    const second = await join('second', ['task:1']);
    const neither = await join('neither', ['user:2']);
    publish('m', { 'user:1': 1, 'task:1': 1 });
    expect(both.heard).toEqual(['pass user:1', 'pass task:1', 'm on user:1 at 1,1', 'pass task:1']);
    expect(second.heard).toEqual(['pass task:1', 'm on task:1 at 1']);
    expect(neither.heard).toEqual([]);
  });

  it('shows a part on its channel only when no earlier channel of the message is joined', async () => {
    const both = await join('both', ['task:1', 'user:1']);
    publish('m', { 'task:1': 1 }, { channels: ['user:1', 'task:1'] });
    expect(both.heard).toEqual(['pass task:1', 'pass task:1']);
    publish('m', { 'user:1': 1 }, { channels: ['user:1', 'task:1'] });
    expect(both.heard.slice(2)).toEqual(['pass user:1', 'm on user:1 at 1,1']);
  });

  it('moves the cursor of an excluded connection and shows it nothing', async () => {
    const a = await join('a', ['broadcast']);
    const b = await join('b', ['broadcast']);
    publish('m', { broadcast: 1 }, { exclude: ['a'] });
    expect(a.heard).toEqual(['pass broadcast']);
    expect(b.heard).toEqual(['m on broadcast at 1']);
  });

  it('hands a message for a connection to it alone, once', async () => {
    const a = await join('a', ['user:1']);
    publish('m', { 'connection:a': 0 });
    publish('n', { 'user:1': 1, 'connection:a': 0 });
    publish('o', { 'connection:gone': 0 });
    expect(a.heard).toEqual(['m directly', 'pass user:1', 'n on user:1 at 1']);
  });

  it('finds out by comparing that something was not announced', async () => {
    const a = await join('a', ['user:1']);
    hub.onSuspect(['user:1', 'user:unknown']);
    await new Promise((resolve) => setImmediate(resolve));
    expect(a.heard).toEqual([]);
    states.set('user:1', { epoch: 'e', offset: 3, floor: 0 });
    hub.onSuspect(['user:1']);
    await new Promise((resolve) => setImmediate(resolve));
    publish('m4', { 'user:1': 4 });
    expect(a.heard).toEqual(['behind 0', 'm4 on user:1 at 4']);
  });

  it('keeps a channel a while after its last subscriber, for those who come back', async () => {
    const a = await join('a', ['user:1', 'user:2']);
    hub.detach(a, NOW);
    hub.sweep(NOW + 900);
    const again = await join('again', ['user:1']);
    hub.sweep(NOW + 1001);
    expect(watched).toEqual(['user:1', 'user:2']);
    expect(unwatched).toEqual(['user:2']);
    expect(hub.channelCount).toBe(1);
    publish('m', { 'user:1': 1 });
    expect(again.heard).toEqual(['m on user:1 at 1']);
    await join('b', ['user:2']);
    expect(watched).toEqual(['user:1', 'user:2', 'user:2']);
  });

  it('keeps subscribers apart when they leave in any order', async () => {
    const all = await Promise.all(['a', 'b', 'c', 'd'].map((id) => join(id, ['user:1', 'user:2'])));
    for (const i of [1, 0]) hub.detach(all[i] as Recorder, NOW);
    publish('m', { 'user:2': 1 });
    expect(all.map((r) => r.heard.length)).toEqual([0, 0, 1, 1]);
    for (const i of [3, 2]) hub.detach(all[i] as Recorder, NOW);
    expect(hub.channelCount).toBe(0);
  });

  it('lets the next one try when a channel cannot be watched', async () => {
    failure = new Error('away');
    await expect(join('a', ['user:1'])).rejects.toThrow('away');
    hub.detach(recorders.get('a') as Recorder, NOW);
    failure = undefined;
    const b = await join('b', ['user:1']);
    hub.sweep(NOW + 2000);
    publish('m', { 'user:1': 1 });
    expect(b.heard).toEqual(['m on user:1 at 1']);
    expect(unwatched).toEqual([]);
  });

  it('keeps the unborn epochs of streams that stay for weeks of today', async () => {
    const a = await join('a', ['user:1', 'broadcast']);
    hub.sweep(NOW);
    hub.sweep(NOW + 20 * DAY_MS);
    for (const channel of a.channels) expect(unbornAgeDays(channel, NOW + 20 * DAY_MS)).toBe(0);
    publish('m', { 'user:1': 1 });
    expect(a.heard.at(-1)).toBe('m on user:1 at 1,0');
  });
});
