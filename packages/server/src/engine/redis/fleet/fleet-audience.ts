/**
 * How many streams a message reaches on all nodes: on this one by its registry, on others by the counts that the
 * publish brought back with its receipt. A node is asked only where a stream may count twice or be excluded, and
 * only for a short time; if it does not answer its share is the sum, which may be too high but never too low.
 */
import { isTransientChannel } from '@message-push/protocol';
import type { Audience, LocalDirectory } from '../../../core/directory.ts';
import type { Message, Receipt } from '../../../core/message.ts';
import { nodeOfConnection, nodeOfConnectionChannel } from '../names/connection-id.ts';
import type { LiveNodes } from './live-nodes.ts';
import type { CountQuestion } from './node-questions.ts';

export interface FleetAudienceOptions {
  readonly nodeId: string;
  readonly local: () => LocalDirectory;
  readonly nodes: Pick<LiveNodes, 'isAlive' | 'isGone'>;
  /** Counts on one node; `undefined` when it does not answer. Never rejects. */
  readonly ask: (
    nodeId: string,
    questions: readonly CountQuestion[],
  ) => Promise<readonly number[] | undefined>;
  /** Removes what a node that is gone has left in a channel's audience. Never rejects. */
  readonly remove: (nodeId: string, channel: string) => Promise<void>;
}

/** Streams of another node that a message reaches. */
interface Share {
  /** Streams, each counted once for every channel. */
  sum: number;
  /** Some of them may be the same, or may not get the message. */
  isUncertain: boolean;
}

/** Questions to one node that are sent in one letter at the end of the turn. */
interface Waiting {
  readonly questions: CountQuestion[];
  readonly answers: Promise<readonly number[] | undefined>;
}

const MAX_REMOVALS = 100;

export class FleetAudience implements Audience {
  readonly #options: FleetAudienceOptions;
  readonly #waiting = new Map<string, Waiting>();
  #removals = 0;

  constructor(options: FleetAudienceOptions) {
    this.#options = options;
  }

  countStreams(receipt: Receipt, { channels, exclude }: Message): number | Promise<number> {
    const own = this.#options.local().countStreams(channels, exclude);
    const only = channels[0];
    if (channels.length === 1 && only !== undefined && exclude === undefined && !isTransientChannel(only)) {
      return own + this.#countElsewhere(receipt.audiences?.[0], only);
    }
    return this.#countSeveral(receipt, channels, exclude, own);
  }

  /** The usual case: nothing to ask and nothing to build. */
  #countElsewhere(audience: ReadonlyMap<string, number> | undefined, channel: string): number {
    let sum = 0;
    if (audience !== undefined) {
      for (const [id, count] of audience) if (this.#isOther(id, channel)) sum += count;
    }
    return sum;
  }

  #countSeveral(
    { places, audiences = [] }: Receipt,
    channels: readonly string[],
    exclude: readonly string[] | undefined,
    own: number,
  ): number | Promise<number> {
    const shares = new Map<string, Share>();
    const add = (id: string, count: number, isUncertain: boolean): void => {
      const share = shares.get(id);
      if (share === undefined) shares.set(id, { sum: count, isUncertain });
      else {
        share.sum += count;
        share.isUncertain = true;
      }
    };
    for (let i = 0; i < places.length; i++) {
      const { channel } = places[i] as { channel: string };
      for (const [id, count] of audiences[i] ?? []) if (this.#isOther(id, channel)) add(id, count, false);
    }
    for (const channel of channels) {
      const id = nodeOfConnectionChannel(channel);
      if (id !== undefined && this.#isOther(id)) add(id, 1, true);
    }
    for (const connectionId of exclude ?? []) {
      const share = shares.get(nodeOfConnection(connectionId) ?? '');
      if (share !== undefined) share.isUncertain = true;
    }
    let sum = own;
    const asked: Promise<number>[] = [];
    for (const [id, share] of shares) {
      if (!share.isUncertain) sum += share.sum;
      else asked.push(this.#ask(id, exclude === undefined ? [channels] : [channels, exclude], share.sum));
    }
    if (asked.length === 0) return sum;
    return Promise.all(asked).then((counts) => counts.reduce((a, b) => a + b, sum));
  }

  /** A live node other than this one. */
  #isOther(id: string, channel?: string): boolean {
    const { nodeId, nodes, remove } = this.#options;
    if (id === nodeId) return false;
    if (nodes.isAlive(id)) return true;
    if (channel !== undefined && this.#removals < MAX_REMOVALS && nodes.isGone(id)) {
      this.#removals++;
      void remove(id, channel).finally(() => this.#removals--);
    }
    return false;
  }

  async #ask(nodeId: string, question: CountQuestion, atMost: number): Promise<number> {
    let waiting = this.#waiting.get(nodeId);
    if (waiting === undefined) {
      const questions: CountQuestion[] = [];
      const answers = new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
        this.#waiting.delete(nodeId);
        return this.#options.ask(nodeId, questions);
      });
      waiting = { questions, answers };
      this.#waiting.set(nodeId, waiting);
    }
    const index = waiting.questions.push(question) - 1;
    return (await waiting.answers)?.[index] ?? atMost;
  }
}
