/**
 * Reads one page of a channel's history for people and tools, bounded in messages and in bytes. The stored JSON of a
 * message is copied into the answer as bytes.
 */
import type { Engine, LogState } from '../../core/engine.ts';
import type { Publication } from '../../core/message.ts';

export interface HistoryQuery {
  readonly channel: string;
  readonly from: number;
  readonly to: number;
  readonly limit: number;
  readonly reverse: boolean;
}

export interface HistoryEntry {
  readonly offset: number;
  readonly publication: Publication;
}

export interface HistoryAnswer {
  readonly state: LogState;
  readonly entries: readonly HistoryEntry[];
  /** Where the next page begins: its `from`, or its `to` when reversed. Absent on the last page. */
  readonly next: number | undefined;
}

/** The first read is short, because messages may have a megabyte each. */
const FIRST_CHUNK = 16;

export async function readHistoryPage(
  engine: Pick<Engine, 'range'>,
  query: HistoryQuery,
  maxBytes: number,
): Promise<HistoryAnswer> {
  const { channel, limit, reverse } = query;
  const entries: HistoryEntry[] = [];
  let { from, to } = query;
  let bytes = 0;
  let chunk = Math.min(limit, FIRST_CHUNK);
  let state: LogState | undefined;
  for (;;) {
    const page = await engine.range(channel, { from, to, limit: chunk, reverse });
    state ??= page.state;
    // If the log was replaced between two reads, the page ends before the entries of the new one.
    if (page.publications.length === 0 || page.state.epoch !== state.epoch) break;
    for (const publication of page.publications) {
      const offset = offsetIn(publication, channel);
      const size = publication.message.json.length;
      if (entries.length > 0 && bytes + size > maxBytes) return { state, entries, next: offset };
      entries.push({ offset, publication });
      bytes += size;
      if (reverse) to = offset - 1;
      else from = offset + 1;
    }
    if (Math.max(from, state.floor + 1) > Math.min(to, state.offset)) break;
    if (entries.length >= limit || bytes >= maxBytes) return { state, entries, next: reverse ? to : from };
    const affordable = Math.floor((maxBytes - bytes) / (bytes / entries.length));
    chunk = Math.max(1, Math.min(limit - entries.length, affordable));
  }
  return { state, entries, next: undefined };
}

function offsetIn(publication: Publication, channel: string): number {
  return publication.places.find((place) => place.channel === channel)?.offset ?? 0;
}

export function historyJson(channel: string, answer: HistoryAnswer): Buffer {
  const { state, entries, next } = answer;
  const head = JSON.stringify({
    success: true,
    channel,
    epoch: state.epoch,
    first_offset: state.offset > state.floor ? state.floor + 1 : null,
    last_offset: state.offset,
    floor: state.floor,
    has_more: next !== undefined,
    next: next ?? null,
  });
  const parts: Uint8Array[] = [Buffer.from(`${head.slice(0, -1)},"messages":[`)];
  entries.forEach(({ offset, publication: { message } }, i) => {
    const timestamp = new Date(message.timeMs).toISOString();
    parts.push(
      Buffer.from(`${i === 0 ? '' : ','}{"offset":${offset},"timestamp":"${timestamp}","message":`),
      message.json,
      CLOSE,
    );
  });
  parts.push(Buffer.from(']}'));
  return Buffer.concat(parts);
}

const CLOSE = Buffer.from('}');
