/** The port from the hub to a session. */
import type { Message } from '../core/message.ts';
import type { CatchUpCause } from '../observe/metrics/counters.ts';
import type { DeliveryTrace } from '../observe/tracing/tracer.ts';
import type { ChannelPosition } from './channel-position.ts';
import type { Delivery } from './delivery.ts';

export interface Subscriber<Channel extends ChannelPosition = ChannelPosition> {
  readonly connectionId: string;
  /** Joined channels with history, in the order of the stream's cursor. */
  readonly channels: readonly Channel[];
  /** Index of this subscriber in the `subscribers` of each of its channels. Kept by the channels. */
  readonly memberIndexes: number[];

  /** Called when a channel has moved to a publication that this subscriber shows. */
  deliver(delivery: Delivery): void;
  /** Called when a channel has moved to a publication that this subscriber does not show. */
  pass(channel: ChannelPosition): void;
  /** Shows a message for this connection alone. False when it could not be taken. */
  deliverDirectly(message: Message, trace: DeliveryTrace | undefined): boolean;
  /** Sends the subscriber to history, from the channels' positions as they are now: what comes next has a hole. */
  fallBehind(cause: CatchUpCause): void;
}
