/** The receipt of a draft from the results of its parts. */
import type { Draft, Receipt } from '../../../core/message.ts';
import type { PartResult } from './publish-call.ts';
import { NO_STREAMS } from './streams-by-node.ts';

export function receiptOf({ message, ack }: Draft, parts: readonly PartResult[]): Receipt {
  const [only] = parts;
  if (parts.length === 1 && message.channels.length === 1 && only !== undefined) {
    const { places, audiences, timeMs, outcome } = only;
    return { messageId: message.id, places, audiences, timeMs, isRepeat: outcome === 'repeat', ack };
  }
  const byChannel = new Map(
    parts.flatMap(({ places, audiences }) =>
      places.map((place, i) => [place.channel, { place, audience: audiences[i] ?? NO_STREAMS }]),
    ),
  );
  const found = message.channels.flatMap((channel) => byChannel.get(channel) ?? []);
  return {
    messageId: message.id,
    places: found.map(({ place }) => place),
    audiences: found.map(({ audience }) => audience),
    timeMs: parts[0]?.timeMs ?? message.timeMs,
    isRepeat: parts.every(({ outcome }) => outcome === 'repeat'),
    ack,
  };
}
