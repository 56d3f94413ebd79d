/**
 * The call of `lua/log/publish.lua`, encoded and decoded: values in, values out. What the messages of a call share
 * (its channels, their logs, the nodes of connections) is named once, and messages refer to it by number.
 */
import type { Draft, Place } from '../../../core/message.ts';
import { formOf, type MessageForm, writeMessage } from '../log/codec.ts';
import type { LogBounds } from '../log/log-bounds.ts';
import { nodeOfConnectionChannel } from '../names/connection-id.ts';
import type { Keys } from '../names/keys.ts';
import type { Argument } from '../server/connection.ts';
import { type DirectChannel, NO_NODE } from './split-draft.ts';
import type { StreamsByNode } from './streams-by-node.ts';

/** A draft with those of its channels that are in the call's slot. */
export interface PublishPart {
  readonly draft: Draft;
  readonly logs: readonly string[];
  readonly direct: readonly DirectChannel[];
}

export interface PartResult {
  readonly outcome: 'stored' | 'repeat' | 'conflict';
  /** In the order of the part's channels. */
  readonly places: readonly Place[];
  /** When it was accepted; for a repeat, when the first one was. */
  readonly timeMs: number;
  /** In the order of the places. */
  readonly audiences: readonly StreamsByNode[];
}

export const CONFLICT: PartResult = { outcome: 'conflict', places: [], timeMs: 0, audiences: [] };

/** The same for every message of a call. */
export interface CallHeader {
  readonly runId: string;
  /** On the server's clock. It does nothing for a call that comes later. */
  readonly deadlineUs: number;
  /** Name for the epoch of logs that begin a new one. */
  readonly newEpoch: string;
  readonly bounds: LogBounds;
  readonly idempotencyTtlMs: number;
  readonly publishCommand: 'publish' | 'spublish';
  /** Repeats are written again, so that waiting for replicas covers them. */
  readonly renewsRepeats: boolean;
}

export interface EncodedCall {
  readonly keys: readonly string[];
  /** What follows the header. */
  readonly args: readonly Argument[];
  /** Channels with history, with their numbers from 1. */
  readonly channels: ReadonlyMap<string, number>;
}

/** Reply of the script: a result for each message, then epoch and streams by node for each channel. */
export type PublishReply = readonly (number | readonly number[] | string)[];

/** Where receipts are kept: each in a key of its own, with its channel's slot, or many in a hash for a window of time. */
export type ReceiptPlan =
  | { readonly kind: 'keys' }
  | { readonly kind: 'windows'; readonly idempotencyTtlMs: number; readonly serverMs: number };

/** Size of `META` in `lua/log/publish.lua`. */
const META_BYTES = 28;
/** Size of a fingerprint as Redis keeps it. */
const FINGERPRINT_BYTES = 16;
/** `WINDOWS` of `lua/log/publish.lua`, and how many of them are before the current one. */
const RECEIPT_WINDOWS = 4;
const RECEIPT_WINDOWS_BEFORE = 2;
/** Long enough that a call reaches the server within the window for which it was made, or within the next. */
const MIN_RECEIPT_WINDOW_MS = 60_000;

export function encodeHeader(header: CallHeader): string[] {
  const { bounds } = header;
  return [
    header.runId,
    String(header.deadlineUs),
    header.newEpoch,
    String(bounds.maxMessagesPerChannel),
    String(bounds.maxBytesPerChannel),
    String(bounds.channelRetentionMs),
    String(header.idempotencyTtlMs),
    header.publishCommand,
    header.renewsRepeats ? '1' : '0',
  ];
}

export function encodeCall(parts: readonly PublishPart[], keys: Keys, plan: ReceiptPlan): EncodedCall {
  const channels = new Map<string, number>();
  for (const { logs } of parts) {
    for (const channel of logs) if (!channels.has(channel)) channels.set(channel, channels.size + 1);
  }
  const nodes = new Map<string, number>();
  for (const { direct } of parts) {
    for (const { bus } of direct) if (!nodes.has(bus)) nodes.set(bus, channels.size + nodes.size + 1);
  }
  const { metas, messages } = writeMessages(parts, channels, nodes);
  const receipts = receiptsOf(parts, keys, plan);
  const named = [...channels.keys()];
  const counts = [...receipts.counts, channels.size, channels.size + nodes.size];
  return {
    keys: [
      ...receipts.keys,
      ...named.map((channel) => keys.log(channel)),
      ...named.map((channel) => keys.history(channel)),
      ...named.map((channel) => keys.audience(channel)),
    ],
    args: [...counts.map(String), ...nodes.keys(), metas, messages, ...receipts.ids],
    channels,
  };
}

/** Two arguments for all messages: each more would cost this process and Redis an allocation. */
function writeMessages(
  parts: readonly PublishPart[],
  channels: ReadonlyMap<string, number>,
  nodes: ReadonlyMap<string, number>,
): { metas: Buffer; messages: Buffer } {
  const forms: MessageForm[] = [];
  let metaBytes = 0;
  let messageBytes = 0;
  for (const { draft, logs, direct } of parts) {
    const form = formOf(draft.message);
    forms.push(form);
    metaBytes += META_BYTES + 2 * (logs.length + direct.length - 1);
    if (draft.fingerprint !== undefined) metaBytes += FINGERPRINT_BYTES;
    messageBytes += form.bytes;
  }
  const metas = Buffer.allocUnsafe(metaBytes);
  const messages = Buffer.allocUnsafe(messageBytes);
  let at = 0;
  let messageAt = 0;
  for (let i = 0; i < parts.length; i++) {
    const { draft, logs, direct } = parts[i] as PublishPart;
    const { message, fingerprint, ttlMs = 0, hasOwnTtl } = draft;
    const form = forms[i] as MessageForm;
    at = metas.writeDoubleLE(ttlMs, at);
    at = metas.writeDoubleLE(message.timeMs, at);
    at = metas.writeUInt8(hasOwnTtl ? 1 : 0, at);
    at = metas.writeUInt16LE(logs.length, at);
    at = metas.writeUInt16LE(logs.length + direct.length, at);
    at = metas.writeUInt8(fingerprint === undefined ? 0 : 1, at);
    at = metas.writeUInt32LE(form.bytes, at);
    for (const channel of logs) at = metas.writeUInt16LE(channels.get(channel) as number, at);
    for (const { bus } of direct) at = metas.writeUInt16LE(nodes.get(bus) as number, at);
    if (fingerprint !== undefined) at += metas.write(fingerprint, at, FINGERPRINT_BYTES, 'base64url');
    messageAt = writeMessage(messages, messageAt, form);
  }
  return { metas, messages };
}

function receiptsOf(
  parts: readonly PublishPart[],
  keys: Keys,
  plan: ReceiptPlan,
): { counts: readonly number[]; keys: readonly string[]; ids: readonly string[] } {
  const withIds = parts.filter(({ draft }) => draft.fingerprint !== undefined);
  const ids = withIds.map(({ draft }) => draft.message.id);
  if (plan.kind === 'keys' || ids.length === 0) {
    const named = withIds.map((part, i) => keys.receipt(ids[i] as string, homeOf(part)));
    return { counts: [ids.length, 0, 0], keys: named, ids: [] };
  }
  const lengthMs = Math.max(plan.idempotencyTtlMs, MIN_RECEIPT_WINDOW_MS);
  const first = Math.floor(plan.serverMs / lengthMs) - RECEIPT_WINDOWS_BEFORE;
  const windows = Array.from({ length: RECEIPT_WINDOWS }, (_, i) => keys.receipts(lengthMs, first + i));
  return { counts: [ids.length, lengthMs, first], keys: windows, ids };
}

/** The hash tag of a message's receipt: one of its channels, or the node of a connection. */
function homeOf({ logs: [channel], direct: [connection] }: PublishPart): string {
  return channel ?? nodeOfConnectionChannel(connection?.channel ?? '') ?? NO_NODE;
}

export interface DecodeOptions {
  readonly parts: readonly PublishPart[];
  /** As the call was encoded. */
  readonly channels: ReadonlyMap<string, number>;
  readonly parseStreams: (text: string) => StreamsByNode;
  /** Called with the highest offset known to be stored for a channel; for repeats also with theirs. */
  readonly onStored: (channel: string, epoch: string, offset: number) => void;
}

/** Results in the order of the parts. */
export function decodeReply(reply: PublishReply, options: DecodeOptions): PartResult[] {
  const { parts, channels, parseStreams, onStored } = options;
  const epochs: string[] = [];
  const audiences: StreamsByNode[] = [];
  for (let at = parts.length; at < reply.length; at += 2) {
    epochs.push(reply[at] as string);
    audiences.push(parseStreams(reply[at + 1] as string));
  }
  const newest = epochs.map(() => 0);
  const results = parts.map((part, i): PartResult => {
    const result = reply[i] as PublishReply[number];
    const [sign, timeMs, ...known] = typeof result === 'string' ? result.split(' ') : [];
    const places: Place[] = [];
    const heard: StreamsByNode[] = [];
    for (let j = 0; j < part.logs.length; j++) {
      const channel = part.logs[j] as string;
      const index = (channels.get(channel) as number) - 1;
      heard.push(audiences[index] as StreamsByNode);
      if (sign === undefined) {
        const offset = typeof result === 'number' ? result : ((result as readonly number[])[j] as number);
        places.push({ channel, epoch: epochs[index] as string, offset });
        newest[index] = offset;
      } else if (sign === '=') {
        const place = { channel, epoch: known[2 * j] as string, offset: Number(known[2 * j + 1]) };
        places.push(place);
        onStored(channel, place.epoch, place.offset);
      }
    }
    for (const { channel } of part.direct) places.push({ channel, epoch: '', offset: 0 });
    return {
      outcome: sign === undefined ? 'stored' : sign === '!' ? 'conflict' : 'repeat',
      places,
      timeMs: sign === '=' ? Number(timeMs) : part.draft.message.timeMs,
      audiences: heard,
    };
  });
  for (const [channel, number] of channels) {
    const offset = newest[number - 1] as number;
    if (offset > 0) onStored(channel, epochs[number - 1] as string, offset);
  }
  return results;
}
