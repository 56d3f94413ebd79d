/** The hub's port to a session. */
import type { Message } from '../core/message.ts';
import type { CatchUpCause } from '../observe/metrics/counters.ts';
import type { DeliveryTrace } from '../observe/tracing/tracer.ts';
import type { ChannelPosition } from './channel-position.ts';
import type { Delivery } from './delivery.ts';

export interface Subscriber<Channel extends ChannelPosition = ChannelPosition> {
  readonly connectionId: string;
  /** Joined channels with history, in the order of the stream's cursor. */
  readonly channels: readonly Channel[];
  /** Index of this subscriber in the list of each of `channels`; kept by the channels. */
  readonly memberIndexes: number[];

  /** The channel has moved to a publication that this subscriber shows. */
  deliver(delivery: Delivery): void;
  /** The channel has moved to a publication that this subscriber does not show. */
  pass(channel: ChannelPosition): void;
  /** A message for this connection alone. False when it could not be taken. */
  deliverDirectly(message: Message, trace: DeliveryTrace | undefined): boolean;
  /** What comes next is not to be relied on: read history from the channels' positions as they are now. */
  fallBehind(cause: CatchUpCause): void;
}
