/**
 * The forms in which messages and logs stand in Redis, as this side reads and writes them; `lua/common.lua` is the
 * other side. A message is one line of JSON with what the service needs to know of it, and the message's own JSON.
 */
import { isTransientChannel } from '@message-push/protocol';
import type { Ancestor, LogState } from '../../core/engine.ts';
import type { Message } from '../../core/message.ts';

const NEWLINE = 0x0a;

export function encodeMessage({ id, type, channels, exclude, timeMs, json }: Message): Buffer {
  const head = JSON.stringify(
    exclude === undefined ? [id, type, timeMs, channels] : [id, type, timeMs, channels, exclude],
  );
  const headBytes = Buffer.byteLength(head);
  const bytes = Buffer.allocUnsafe(headBytes + 1 + json.length);
  bytes.write(head);
  bytes[headBytes] = NEWLINE;
  bytes.set(json, headBytes + 1);
  return bytes;
}

export function decodeMessage(bytes: Buffer): Message {
  const end = bytes.indexOf(NEWLINE);
  const [id, type, timeMs, channels, exclude] = JSON.parse(bytes.toString('utf8', 0, end)) as [
    string,
    string,
    number,
    string[],
    string[] | undefined,
  ];
  return { id, type, channels, exclude, timeMs, json: bytes.subarray(end + 1) };
}

/** One publication of an announcement. `epoch` `-`: without history; `!`: not a publication, the log's state has changed. */
export interface BusRecord {
  readonly epoch: string;
  readonly offset: number;
  readonly order: number;
  readonly message: Message | undefined;
}

export function decodeAnnouncement(bytes: Buffer): BusRecord[] {
  const records: BusRecord[] = [];
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(NEWLINE, start);
    const [epoch = '', offset, order, length] = bytes.toString('latin1', start, end).split(' ');
    start = end + 1 + Number(length);
    records.push({
      epoch,
      offset: Number(offset),
      order: Number(order),
      message: epoch === '!' ? undefined : decodeMessage(bytes.subarray(end + 1, start)),
    });
  }
  return records;
}

export interface LogLine {
  readonly epoch: string;
  readonly offset: number;
  readonly order: number;
  /** Newest entry whose publisher chose no ttl. */
  readonly lasting: number;
  /** Latest expiry among entries whose publisher chose one, ms. */
  readonly own: number;
  readonly bytes: number;
  readonly ancestors: readonly Ancestor[];
}

/** `undefined` for a channel that has no log. */
export function parseLog(text: string): LogLine | undefined {
  if (text === '') return undefined;
  const [epoch = '', offset, order, , lasting, own, , bytes, , ancestors = '-'] = text.split(' ');
  return {
    epoch,
    offset: Number(offset),
    order: Number(order),
    lasting: Number(lasting),
    own: Number(own),
    bytes: Number(bytes),
    ancestors: ancestors === '-' ? NONE : ancestors.split(',').map(parseAncestor),
  };
}

const NONE: readonly Ancestor[] = [];

function parseAncestor(text: string): Ancestor {
  const [epoch = '', upTo = ''] = text.split(':');
  return { epoch, upTo: Number.parseInt(upTo, 10), isLossy: upTo.includes('!') };
}

/** Facts of an entry; `lasting` and `own` are the log's as it was before the entry. */
export interface EntryFacts {
  readonly offset: number;
  readonly lasting: number;
  readonly own: number;
  readonly order: number;
  /** ms since 1970; 0: never. */
  readonly expiresMs: number;
  readonly hasOwnTtl: boolean;
  readonly bytes: number;
}

export function parseFacts(text: string): EntryFacts {
  const [offset, lasting, own, order, expires = '', bytes] = text.split(' ');
  return {
    offset: Number(offset),
    lasting: Number(lasting),
    own: Number(own),
    order: Number(order),
    expiresMs: Number.parseInt(expires, 10),
    hasOwnTtl: expires.endsWith('*'),
    bytes: Number(bytes),
  };
}

/**
 * The last entry before `first` that is lost, when everything before it is gone. Entries whose publisher chose their
 * ttl are not lost once it has run out. Without `first`, all of the log is gone.
 */
export function lostBefore(log: LogLine, first: EntryFacts | undefined, nowMs: number): number {
  if (first === undefined) return log.own > nowMs ? log.offset : log.lasting;
  return first.own > nowMs ? first.offset - 1 : first.lasting;
}

export function stateOf(log: LogLine, floor: number): LogState {
  const { epoch, offset, ancestors } = log;
  return ancestors.length === 0 ? { epoch, offset, floor } : { epoch, offset, floor, ancestors };
}

/** A connection's id begins with its node's, so that whoever has a message for it knows where to send it. */
export const NODE_ID_CHARS = 8;

export function nodeOfConnection(connectionId: string): string | undefined {
  const id = connectionId.slice(0, NODE_ID_CHARS);
  return /^[0-9a-f]{8}$/.test(id) ? id : undefined;
}

export function nodeOfConnectionChannel(channel: string): string | undefined {
  return isTransientChannel(channel) ? nodeOfConnection(channel.slice(channel.indexOf(':') + 1)) : undefined;
}
