/**
 * The message in its two lives: a draft on its way to the engine, a publication on its way to the sessions.
 * Its JSON was made once, by the publish stage, and passes as bytes from there to every socket.
 */

export interface Message {
  /** The publisher's id, or one made for it. */
  readonly id: string;
  /** The name of its SSE event. */
  readonly type: string;
  /**
   * Every channel that it is published to, in the order of the target's fields. A session shows the message
   * when it arrives on the first of these that it has joined; on the others it only moves its cursor.
   */
  readonly channels: readonly string[];
  /** Connections that do not get it. */
  readonly exclude: readonly string[] | undefined;
  /** When it was accepted, ms since 1970. */
  readonly timeMs: number;
  /** UTF-8 JSON on one line: the `data:` of its event. */
  readonly json: Uint8Array;
}

/** A message on its way to the engine. */
export interface Draft {
  readonly message: Message;
  /** How long it stays in history, ms; undefined: until trimmed. */
  readonly ttlMs: number | undefined;
  /** The publisher chose this ttl, so streams may pass over the message without a gap once it has run out. */
  readonly hasOwnTtl: boolean;
  /**
   * Set when the publisher chose the id: equal for equal bodies, 22 characters of base64url. A repeat with the same
   * fingerprint is answered with the first result, another one is refused with `id_conflict`.
   */
  readonly fingerprint: string | undefined;
  /** How safe the message must be before its publisher is answered. */
  readonly ack: AckLevel;
}

/** Where a publication stands in one of its channels. Offset 0: the channel has no history (`connection:`). */
export interface Place {
  readonly channel: string;
  readonly epoch: string;
  readonly offset: number;
}

/**
 * What an engine announces and replays: a message with its places. A publication to several channels comes
 * whole, or in parts that hold some of the places each (a cluster's slots, a page's end); `message.channels` is
 * whole in every part.
 */
export interface Publication {
  readonly message: Message;
  readonly places: readonly Place[];
  /** Sorts publications that are replayed together; rises with the offset within every channel. */
  readonly order: number;
}

/** `stored`: durable where the engine keeps it. `replicated`: its replicas have it too. */
export const ACK_LEVELS = ['stored', 'replicated'] as const;
export type AckLevel = (typeof ACK_LEVELS)[number];

export interface Receipt {
  readonly messageId: string;
  readonly places: readonly Place[];
  readonly timeMs: number;
  /** An earlier publish with this id was answered; nothing was stored this time. */
  readonly isRepeat: boolean;
  /** The level that was reached; at least what the draft asked for. */
  readonly ack: AckLevel;
  /**
   * For each of the places: how many streams of which node had joined the channel. Absent where one process is
   * everything, which knows by itself.
   */
  readonly audiences?: readonly ReadonlyMap<string, number>[];
}
