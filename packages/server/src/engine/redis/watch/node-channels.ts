/**
 * The two bus channels by which a node is reached: its own and that of all nodes. They bring messages for connections
 * of this node, which have no history, and letters of other nodes.
 */
import { isTransientChannel } from '@message-push/protocol';
import type { Place } from '../../../core/message.ts';
import type { RedisLink } from '../link/redis-link.ts';
import type { Subscriber } from '../link/subscriptions.ts';
import { decodeAnnouncement } from '../log/codec.ts';
import { nodeOfConnectionChannel } from '../names/connection-id.ts';
import { type Keys, LETTER_MARK } from '../names/keys.ts';
import type { Announcer } from './announcer.ts';

export interface NodeChannelsOptions {
  readonly link: RedisLink;
  readonly keys: Keys;
  readonly nodeId: string;
  readonly announcer: Announcer;
  readonly onLetter: (letter: Buffer) => void;
}

const LETTER_BYTE = LETTER_MARK.charCodeAt(0);

export class NodeChannels implements Subscriber {
  readonly #options: NodeChannelsOptions;

  constructor(options: NodeChannelsOptions) {
    this.#options = options;
  }

  async open(): Promise<void> {
    const { link, keys, nodeId } = this.#options;
    await link.subscribe([keys.nodeBus(nodeId), keys.allNodesBus()], this);
  }

  onMessage(_name: string, bytes: Buffer): void {
    const { announcer, onLetter } = this.#options;
    if (bytes[0] === LETTER_BYTE) onLetter(bytes);
    else {
      for (const { message, order } of decodeAnnouncement(bytes).publications) {
        announcer.announce({ message, places: this.#placesHere(message.channels), order });
      }
    }
  }

  /** Nothing here can be read again. */
  onMissed(): void {}

  #placesHere(channels: readonly string[]): Place[] {
    return channels
      .filter(
        (channel) => isTransientChannel(channel) && nodeOfConnectionChannel(channel) === this.#options.nodeId,
      )
      .map((channel) => ({ channel, epoch: '', offset: 0 }));
  }
}
