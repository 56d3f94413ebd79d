/**
 * Every name that the engine uses in Redis. The keys of a channel share a hash tag with its bus channel, so that one
 * script may use all of them in a cluster and, with sharded pub/sub, announce too.
 */
/** Begins a letter from node to node on the bus; no announcement begins with it. */
export const LETTER_MARK = '@';

export class Keys {
  readonly #prefix: string;
  readonly #bus: string;

  /** Pub/sub is the same for all databases, so names on the bus contain the number. */
  constructor(prefix: string, database: number) {
    this.#prefix = prefix;
    this.#bus = `${prefix}${database}:`;
  }

  /** State of a channel's log: string. Publications of the channel are announced under the same name. */
  log(channel: string): string {
    return `${this.#bus}l:{${channel}}`;
  }

  /** Entries of a channel's log: stream. */
  history(channel: string): string {
    return `${this.#prefix}h:{${channel}}`;
  }

  /** How many streams of each node have joined a channel: hash. */
  audience(channel: string): string {
    return `${this.#prefix}a:{${channel}}`;
  }

  /** Receipts of publishers' ids in a window of time, by id: hash. Not used in a cluster. */
  receipts(windowMs: number, window: number): string {
    return `${this.#prefix}r:${windowMs}:${window}`;
  }

  /** Receipt of a publisher's id, in the slot of one of the message's channels: string. Used in a cluster. */
  receipt(id: string, channel: string): string {
    return `${this.#prefix}r:{${channel}}${id}`;
  }

  /** The message that an id belongs to, whatever its channels: string. Used in a cluster. */
  claim(id: string): string {
    return `${this.#prefix}i:{${id}}`;
  }

  /** How many streams a user has open on each node: hash. */
  user(userId: string): string {
    return `${this.#prefix}u:{${userId}}`;
  }

  /** Nodes with the time of their last heartbeat, ms: sorted set. */
  nodes(): string {
    return `${this.#prefix}nodes`;
  }

  /** Notes that every node has to read: stream. */
  notes(): string {
    return `${this.#prefix}notes`;
  }

  /** Part of a rate limit that is used in the current window: number. */
  rate(client: string): string {
    return `${this.#prefix}q:{${client}}`;
  }

  /** `MATCH` pattern for the histories of channels whose names start with `channelPrefix`. */
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

  /** Bus channel by which a node proves that its listener at one server receives; `tag` chooses the slot. */
  probeBus(nodeId: string, tag: string): string {
    return `${this.#bus}p:{${tag}}${nodeId}`;
  }
}
