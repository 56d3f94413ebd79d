/** What the hub knows of a session. */
import type { Message } from '../core/message.ts';
import type { CatchUpCause } from '../observe/metrics/counters.ts';
import type { DeliveryTrace } from '../observe/tracing/tracer.ts';
import type { Delivery } from './delivery.ts';
import type { HubChannel } from './hub-channel.ts';

export interface Subscriber {
  readonly connectionId: string;
  /** Joined channels with history, in the order of the stream's cursor. */
  readonly channels: readonly HubChannel[];
  /** Where this subscriber stands in each channel's list; kept by the channels. */
  readonly slots: number[];

  /** The channel has moved to a publication that this subscriber shows. */
  deliver(delivery: Delivery): void;
  /** The channel has moved to a publication that this subscriber does not show. */
  pass(channel: HubChannel): void;
  /** A message for this connection alone. False when it could not be taken. */
  deliverDirectly(message: Message, trace: DeliveryTrace | undefined): boolean;
  /** What comes next is not to be relied on: read history from the channels' positions as they are now. */
  fallBehind(cause: CatchUpCause): void;
}
