/**
 * One publication on one channel, on its way to many subscribers. The bytes that they share are encoded once, by the
 * first that needs them. Nearly always there is one style, which costs no Map.
 */
import type { Message } from '../core/message.ts';
import type { DeliveryTrace } from '../observe/tracing/tracer.ts';
import type { ChannelPosition } from './channel-position.ts';

export class Delivery {
  readonly message: Message;
  readonly channel: ChannelPosition;
  /** `undefined` when the publication is not traced. */
  readonly trace: DeliveryTrace | undefined;
  #style: object | undefined;
  #bytes: Uint8Array | undefined;
  #others: Map<object, Uint8Array> | undefined;

  constructor(message: Message, channel: ChannelPosition, trace: DeliveryTrace | undefined) {
    this.message = message;
    this.channel = channel;
    this.trace = trace;
  }

  /**
   * The bytes for `style`, which must not be changed. `encode` may depend on the message, the position and the style
   * only.
   */
  shared<S extends object>(style: S, encode: (delivery: Delivery, style: S) => Uint8Array): Uint8Array {
    if (this.#style === style) return this.#bytes as Uint8Array;
    if (this.#style === undefined) {
      this.#style = style;
      this.#bytes = encode(this, style);
      return this.#bytes;
    }
    this.#others ??= new Map();
    let bytes = this.#others.get(style);
    if (bytes === undefined) {
      bytes = encode(this, style);
      this.#others.set(style, bytes);
    }
    return bytes;
  }
}
