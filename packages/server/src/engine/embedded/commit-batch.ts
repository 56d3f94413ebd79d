/** Builds one group commit: gives out offsets, and puts the drafts into the columns that the store thread takes. */

import { isTransientChannel } from '@message-push/protocol';
import type { Draft, Place } from '../../core/message.ts';
import type { ChannelLog, ChannelLogs } from './channel-logs.ts';
import {
  type CommitRequest,
  ROW_NUMBERS,
  type RowExtra,
  type StoredReceipt,
} from './store/store-protocol.ts';

/** A draft with the places that it will have when the commit is on disk. */
export interface PlacedDraft {
  readonly draft: Draft;
  readonly places: readonly Place[];
  /** The logs of those places that are stored, in the same order. */
  readonly logs: readonly ChannelLog[];
  readonly order: number;
}

export interface Batch {
  readonly request: CommitRequest;
  readonly placed: readonly PlacedDraft[];
  readonly created: readonly ChannelLog[];
  readonly rows: number;
}

/** Gives out offsets as `pending`. `settleBatch` makes them final, `undoBatch` takes them back. */
export function buildBatch(
  drafts: readonly Draft[],
  logs: ChannelLogs,
  { firstSeq, nowMs }: { firstSeq: number; nowMs: number },
): Batch {
  const placed: PlacedDraft[] = [];
  const created: ChannelLog[] = [];
  const touched = new Set<ChannelLog>();
  const receipts: StoredReceipt[] = [];
  let rows = 0;
  let bytes = 0;
  for (const draft of drafts) {
    const { message } = draft;
    const places: Place[] = [];
    const placeLogs: ChannelLog[] = [];
    const order = firstSeq + rows;
    for (const channel of message.channels) {
      if (isTransientChannel(channel)) {
        places.push({ channel, epoch: '', offset: 0 });
        continue;
      }
      let log = logs.get(channel);
      if (log === undefined) {
        log = logs.create(channel);
        created.push(log);
      }
      touched.add(log);
      log.pending++;
      places.push({ channel, epoch: log.epoch, offset: log.offset + log.pending });
      placeLogs.push(log);
      rows++;
      bytes += message.json.length;
    }
    // A message without rows has no seq to keep a receipt by. Its connection ends with the process anyway.
    if (draft.fingerprint !== undefined && placeLogs.length > 0) {
      receipts.push({
        seq: order,
        timeMs: message.timeMs,
        id: message.id,
        fingerprint: draft.fingerprint,
        places: JSON.stringify(places),
      });
    }
    placed.push({ draft, places, logs: placeLogs, order });
  }
  const request: CommitRequest = {
    op: 'commit',
    newChannels: created.map(({ id, name, epoch }) => ({ id, name, epoch })),
    ...columns(placed, rows, bytes),
    receipts,
    trims: dueTrims(touched, logs),
    nowMs,
  };
  return { request, placed, created, rows };
}

function dueTrims(touched: Iterable<ChannelLog>, logs: ChannelLogs): { channel: number; upTo: number }[] {
  const trims: { channel: number; upTo: number }[] = [];
  for (const log of touched) {
    const upTo = logs.dueTrim(log);
    if (upTo > 0) trims.push({ channel: log.id, upTo });
  }
  return trims;
}

function columns(
  placed: readonly PlacedDraft[],
  rows: number,
  bytes: number,
): Pick<CommitRequest, 'numbers' | 'strings' | 'bodies'> {
  const numbers = new Float64Array(rows * ROW_NUMBERS);
  const strings: string[] = [];
  const bodies = new Uint8Array(bytes);
  let n = 0;
  let end = 0;
  for (const { draft, places, logs, order } of placed) {
    const { message, ttlMs, hasOwnTtl } = draft;
    const extra = rowExtra(draft);
    let row = 0;
    for (const place of places) {
      if (place.offset === 0) continue;
      numbers[n] = order + row;
      numbers[n + 1] = (logs[row] as ChannelLog).id;
      numbers[n + 2] = place.offset;
      numbers[n + 3] = message.timeMs;
      numbers[n + 4] = ttlMs === undefined ? 0 : message.timeMs + ttlMs;
      numbers[n + 5] = hasOwnTtl ? 1 : 0;
      numbers[n + 6] = message.json.length;
      strings.push(message.id, message.type, extra);
      bodies.set(message.json, end);
      n += ROW_NUMBERS;
      end += message.json.length;
      row++;
    }
  }
  return { numbers, strings, bodies };
}

function rowExtra({ message }: Draft): string {
  if (message.channels.length === 1 && message.exclude === undefined) return '';
  const extra: RowExtra = {
    ...(message.channels.length > 1 && { channels: message.channels }),
    ...(message.exclude !== undefined && { exclude: message.exclude }),
  };
  return JSON.stringify(extra);
}

/** Called when the commit is on disk. Its offsets become the newest of their logs. */
export function settleBatch({ placed, request }: Batch, logs: ChannelLogs): void {
  for (const { draft, logs: placeLogs } of placed) {
    for (const log of placeLogs) {
      log.pending--;
      logs.appended(log, draft.message.json.length, draft.message.timeMs);
    }
  }
  for (const { channel, upTo } of request.trims) {
    const log = logs.byId(channel);
    if (log !== undefined) log.first = Math.max(log.first, upTo + 1);
  }
}

/** Called when nothing of the commit is on disk. Its offsets are free for the next one. */
export function undoBatch({ placed, created }: Batch, logs: ChannelLogs): void {
  for (const { logs: placeLogs } of placed) for (const log of placeLogs) log.pending--;
  for (const log of created) logs.remove(log);
}
