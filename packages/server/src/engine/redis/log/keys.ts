/**
 * Every name that the engine uses in Redis, and the hash slot of each. The keys of a channel share a slot, and its
 * bus channel has the same one, so that one script may touch all of them and, with sharded pub/sub, announce too.
 */
import calculateSlot from 'cluster-key-slot';

export class Keys {
  readonly #prefix: string;
  readonly #bus: string;

  /** Pub/sub knows no databases: names on the bus carry the number. */
  constructor(prefix: string, database: number) {
    this.#prefix = prefix;
    this.#bus = `${prefix}${database}:`;
  }

  /** State of a channel's log: string. What is published to the channel is announced under the same name. */
  log(channel: string): string {
    return `${this.#bus}l:{${channel}}`;
  }

  /** Entries of a channel: stream. */
  history(channel: string): string {
    return `${this.#prefix}h:{${channel}}`;
  }

  /** Streams per node that have joined a channel: hash. */
  audience(channel: string): string {
    return `${this.#prefix}a:{${channel}}`;
  }

  /** Without a cluster: what was answered to publishers' ids in a window of time, by id: hash. */
  receipts(windowMs: number, window: number): string {
    return `${this.#prefix}r:${windowMs}:${window}`;
  }

  /** In a cluster: what was answered to a publisher's id, with one of the message's channels: string. */
  receipt(id: string, channel: string): string {
    return `${this.#prefix}r:{${channel}}${id}`;
  }

  /** In a cluster: the message that an id belongs to, whatever its channels: string. */
  claim(id: string): string {
    return `${this.#prefix}i:{${id}}`;
  }

  /** Open streams per node of a user: hash. */
  user(userId: string): string {
    return `${this.#prefix}u:{${userId}}`;
  }

  /** Nodes and when they were last alive: sorted set, ms. */
  nodes(): string {
    return `${this.#prefix}nodes`;
  }

  /** What every node has to know: stream of notes. */
  notes(): string {
    return `${this.#prefix}notes`;
  }

  /** What is used of a limit in its window: number. */
  rate(client: string): string {
    return `${this.#prefix}q:{${client}}`;
  }

  /** `MATCH` pattern of the histories of channels that start with `channelPrefix`. */
  historyPattern(channelPrefix: string): string {
    const literal = `${this.#prefix}h:{${channelPrefix}`.replace(/[\\*?[\]]/g, '\\$&');
    return `${literal}*`;
  }

  channelOfHistory(key: string): string {
    return key.slice(this.#prefix.length + 'h:{'.length, -1);
  }

  /** Bus channel of one node. */
  nodeBus(nodeId: string): string {
    return `${this.#bus}n:{${nodeId}}`;
  }

  /** Bus channel of all nodes. */
  allNodesBus(): string {
    return `${this.#bus}n:{all}`;
  }

  /** Bus channel by which a node proves that its connection to one server hears; `tag` chooses the slot. */
  probeBus(nodeId: string, tag: string): string {
    return `${this.#bus}p:{${tag}}${nodeId}`;
  }
}

export const SLOTS = 16_384;

export function slotOf(key: string): number {
  return calculateSlot(key);
}
