/** The messages of a run over a fleet: their channels, and which are acknowledged. */
import type { MessageBody } from '../messages/publisher.ts';
import type { Random } from '../random.ts';
import type { SentMessage } from './fleet-record.ts';

const TWO_CHANNEL_SHARE = 0.1;
/** The share of messages that go to the channels of the one before: the engine keeps such runs together. */
const SAME_CHANNELS_SHARE = 0.6;
const MAX_TEXT_CHARS = 100;

export class FleetMessages {
  readonly channels: readonly string[];
  readonly sent: SentMessage[] = [];
  acknowledged = 0;

  constructor(channelCount: number) {
    this.channels = Array.from(
      { length: channelCount },
      (_, i) => `${i % 2 === 0 ? 'channel' : 'task'}:${i}`,
    );
  }

  /** The next messages of a publisher. */
  make(count: number, publisher: number, random: Random): MessageBody[] {
    let channels = this.#pickChannels(random);
    return Array.from({ length: count }, () => {
      const text = 'x'.repeat(random.between(0, MAX_TEXT_CHARS));
      if (random.next() >= SAME_CHANNELS_SHARE) channels = this.#pickChannels(random);
      return this.#add(channels, publisher, 'progress', text);
    });
  }

  /** A marker for every channel, to be sent after all messages before, and the number of each. */
  makeMarkers(publisher: number): { bodies: MessageBody[]; markers: ReadonlyMap<string, number> } {
    const markers = new Map(this.channels.map((channel, i) => [channel, this.sent.length + i]));
    const bodies = this.channels.map((channel) => this.#add([channel], publisher, 'custom', 'marker'));
    return { bodies, markers };
  }

  acknowledge({ id = '' }: MessageBody): void {
    const message = this.sent[Number(id.slice(1))];
    if (message === undefined || message.acknowledgedAs !== undefined) return;
    message.acknowledgedAs = ++this.acknowledged;
  }

  #pickChannels(random: Random): string[] {
    const first = random.pick(this.channels);
    if (random.next() >= TWO_CHANNEL_SHARE) return [first];
    const second = random.pick(this.channels.filter((c) => fieldOf(c) !== fieldOf(first)));
    // A publication lists its channels in the order of the target's fields.
    return [first, second].toSorted();
  }

  #add(channels: readonly string[], publisher: number, type: string, text: string): MessageBody {
    const id = `m${this.sent.length}`;
    this.sent.push({ publisher, channels, acknowledgedAs: undefined });
    const target = Object.fromEntries(channels.map((c) => [fieldOf(c), c.slice(c.indexOf(':') + 1)]));
    return { id, type, service: 'test', target, data: { text } };
  }
}

function fieldOf(channel: string): 'channel' | 'task_id' {
  return channel.startsWith('task:') ? 'task_id' : 'channel';
}
