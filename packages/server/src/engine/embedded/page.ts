/** Turns the rows of a page from the store into publications. */
import type { Message, Place, Publication } from '../../core/message.ts';
import { PAGE_NUMBERS, type PageReply, ROW_STRINGS, type RowExtra } from './store/store-protocol.ts';

/**
 * Rows of one message that follow each other become one publication. `channels[i]` is the requested channel with index
 * i, and its epoch.
 */
export function publicationsOf(
  page: PageReply,
  channels: readonly { channel: string; epoch: string }[],
): Publication[] {
  const { numbers, strings, bodies } = page;
  const publications: Publication[] = [];
  let last: { message: Message; places: Place[]; order: number; seq: number } | undefined;
  let start = 0;
  for (let n = 0, s = 0; n < numbers.length; n += PAGE_NUMBERS, s += ROW_STRINGS) {
    const { channel, epoch } = channels[numbers[n] as number] as { channel: string; epoch: string };
    const seq = numbers[n + 1] as number;
    const place: Place = { channel, epoch, offset: numbers[n + 2] as number };
    const end = start + (numbers[n + 4] as number);
    const id = strings[s] as string;
    const extraText = strings[s + 2] as string;
    const extra: RowExtra = extraText === '' ? {} : (JSON.parse(extraText) as RowExtra);
    // The rows of a message have consecutive seqs. Those that are missing here are of channels that were not requested.
    const isSame =
      last !== undefined &&
      last.message.id === id &&
      extra.channels !== undefined &&
      seq - last.seq < extra.channels.length &&
      !last.places.some((p) => p.channel === channel);
    if (isSame && last !== undefined) {
      last.places.push(place);
      last.seq = seq;
    } else {
      const message: Message = {
        id,
        type: strings[s + 1] as string,
        channels: extra.channels ?? [channel],
        exclude: extra.exclude,
        timeMs: numbers[n + 3] as number,
        json: bodies.subarray(start, end),
      };
      last = { message, places: [place], order: seq, seq };
      publications.push(last);
    }
    start = end;
  }
  return publications;
}
