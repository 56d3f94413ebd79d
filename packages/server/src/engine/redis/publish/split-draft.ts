/** Splits a draft by the slots of its channels: a call can touch the keys of one slot only. */
import { isTransientChannel } from '@message-push/protocol';
import { nodeOfConnectionChannel } from '../names/connection-id.ts';
import type { Keys } from '../names/keys.ts';

/** A connection's channel, which has no history, and the bus channel of its node. */
export interface DirectChannel {
  readonly channel: string;
  readonly bus: string;
}

/** The channels of a draft that share a slot. */
export interface SlotChannels {
  readonly slot: number;
  /** Channels with history. */
  readonly logs: readonly string[];
  readonly direct: readonly DirectChannel[];
}

/** Stands for the node of a connection that no node can have. */
export const NO_NODE = 'none';
const NONE: readonly DirectChannel[] = [];

export function splitBySlot(
  channels: readonly string[],
  keys: Keys,
  slotOf: (key: string) => number,
): readonly SlotChannels[] {
  const [only] = channels;
  if (channels.length === 1 && only !== undefined && !isTransientChannel(only)) {
    return [{ slot: slotOf(keys.log(only)), logs: channels, direct: NONE }];
  }
  const parts = new Map<number, { slot: number; logs: string[]; direct: DirectChannel[] }>();
  for (const channel of channels) {
    const isDirect = isTransientChannel(channel);
    const bus = isDirect ? keys.nodeBus(nodeOfConnectionChannel(channel) ?? NO_NODE) : '';
    const slot = slotOf(isDirect ? bus : keys.log(channel));
    let part = parts.get(slot);
    if (part === undefined) {
      part = { slot, logs: [], direct: [] };
      parts.set(slot, part);
    }
    if (isDirect) part.direct.push({ channel, bus });
    else part.logs.push(channel);
  }
  return [...parts.values()];
}
