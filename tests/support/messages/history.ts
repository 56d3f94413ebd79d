/** Reads a channel's history from the API, page by page, and finds holes in it. */
import { requestJson } from '../http/http.ts';

interface HistoryEntry {
  readonly offset: number;
  readonly message: { readonly id: string; readonly type: string; readonly data: Record<string, unknown> };
}

interface HistoryAnswer {
  readonly epoch: string;
  readonly first_offset: number | null;
  readonly last_offset: number;
  readonly floor: number;
  readonly messages: readonly HistoryEntry[];
  readonly has_more: boolean;
  readonly next: number | null;
}

export interface ChannelHistory {
  readonly epoch: string;
  readonly floor: number;
  readonly lastOffset: number;
  readonly entries: readonly HistoryEntry[];
}

export async function readHistory(url: string, channel: string): Promise<ChannelHistory> {
  const entries: HistoryEntry[] = [];
  let from = 1;
  for (;;) {
    const path = `/sse/api/v1/channels/${encodeURIComponent(channel)}/history?from=${from}&limit=1000`;
    const { status, json, text } = await requestJson<HistoryAnswer>(url + path);
    if (status !== 200) throw new Error(`history of ${channel}: ${status} ${text}`);
    entries.push(...json.messages);
    if (!json.has_more || json.next === null) {
      return { epoch: json.epoch, floor: json.floor, lastOffset: json.last_offset, entries };
    }
    from = json.next;
  }
}

/** Offsets that are missing between the floor and the newest. */
export function holesOf({ floor, lastOffset, entries }: ChannelHistory): number[] {
  const there = new Set(entries.map((e) => e.offset));
  const holes: number[] = [];
  for (let offset = floor + 1; offset <= lastOffset; offset++) if (!there.has(offset)) holes.push(offset);
  return holes;
}
