/**
 * A message in its two lives: a draft on its way to the engine, a publication on its way to the sessions. The publish
 * stage writes its JSON once; from there to every socket it passes as bytes.
 */

export interface Message {
  /** The id that the publisher chose, or one that was generated. */
  readonly id: string;
  /** The name of its SSE event. */
  readonly type: string;
  /**
   * Every channel that it is published to, in the order of the target's fields. A session shows the message when it
   * arrives on the first of these that the session has joined; on the others only the cursor moves.
   */
  readonly channels: readonly string[];
  /** Ids of connections that do not receive it. */
  readonly exclude: readonly string[] | undefined;
  /** When it was accepted, in milliseconds since 1970. */
  readonly timeMs: number;
  /** The `data:` of its event: JSON on one line, in UTF-8. */
  readonly json: Uint8Array;
}

/** A message on its way to the engine. */
export interface Draft {
  readonly message: Message;
  /** How long it stays in history; `undefined` when it stays until it is trimmed. */
  readonly ttlMs: number | undefined;
  /**
   * True when the publisher chose the ttl. Streams then pass over the message without a gap once it has expired.
   */
  readonly hasOwnTtl: boolean;
  /**
   * 22 characters of base64url, equal for equal bodies; set when the publisher chose the id. A repeat with the same
   * fingerprint is answered with the first result, one with another fingerprint is refused with `id_conflict`.
   */
  readonly fingerprint: string | undefined;
  /** How safely the message must be stored before it is acknowledged. */
  readonly ack: AckLevel;
}

/** Where a publication stands in one of its channels. The offset is 0 in a channel without history (`connection:`). */
export interface Place {
  readonly channel: string;
  readonly epoch: string;
  readonly offset: number;
}

/**
 * What an engine announces and replays: a message with its places. A publication to several channels comes whole, or
 * in parts with some of the places each (one for each slot of a cluster, or cut by the end of a page). Every part has
 * all of `message.channels`.
 */
export interface Publication {
  readonly message: Message;
  readonly places: readonly Place[];
  /** Sort key of publications that are replayed together. It rises with the offset within every channel. */
  readonly order: number;
}

/** The ways to publish; each has a path of its own (`PUBLISH_PATHS`). */
export const PUBLISH_KINDS = ['send', 'broadcast', 'batch'] as const;
export type PublishKind = (typeof PUBLISH_KINDS)[number];

/** `stored` is durable where the engine keeps it; `replicated` means that replicas have it too. */
export const ACK_LEVELS = ['stored', 'replicated'] as const;
export type AckLevel = (typeof ACK_LEVELS)[number];

export interface Receipt {
  readonly messageId: string;
  readonly places: readonly Place[];
  readonly timeMs: number;
  /** True when an earlier publish with this id was acknowledged, so that nothing was stored this time. */
  readonly isRepeat: boolean;
  /** The level that was reached, which is at least the one that the draft asked for. */
  readonly ack: AckLevel;
  /**
   * For each of the places, how many streams of each node had joined the channel. Absent when one process has all
   * streams, and can count them by itself.
   */
  readonly audiences?: readonly ReadonlyMap<string, number>[];
}
