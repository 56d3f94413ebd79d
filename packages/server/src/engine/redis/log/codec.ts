/**
 * The binary forms of messages and logs in Redis, as this side reads and writes them; `lua/log/format.lua` is the
 * other side.
 *
 *     message                     length · line of JSON with what the service needs to know · newline · its own JSON
 *     entry, announcement         facts · messages, whose offsets follow each other
 *     log                         facts of the newest entry · rest · ancestors
 */
import type { Ancestor, LogState } from '../../../core/engine.ts';
import type { Message } from '../../../core/message.ts';

const NEWLINE = 0x0a;
const HYPHEN = 0x2d;

/** Places in `FACTS` of `lua/log/format.lua`; numbers are doubles, little-endian. */
const EPOCH_BYTES = 8;
const OFFSET_AT = 8;
const LASTING_AT = 16;
const OWN_AT = 24;
const ORDER_AT = 32;
const EXPIRES_AT = 40;
const BYTES_AT = 48;
const COUNT_AT = 56;
export const FACTS_BYTES = 58;
/** Where the run id of a log begins, within `REST`. */
const RUN_AT = FACTS_BYTES + 16;
/** Size of the length before a message. */
const LENGTH_BYTES = 4;

/** A message that is about to be written. Its head is made once, because its size is needed before. */
export interface MessageForm {
  readonly head: string;
  readonly headBytes: number;
  readonly json: Uint8Array;
  /** Size of the whole form, with its length. */
  readonly bytes: number;
}

export function formOf({ id, type, channels, exclude, timeMs, json }: Message): MessageForm {
  const head = JSON.stringify(
    exclude === undefined ? [id, type, timeMs, channels] : [id, type, timeMs, channels, exclude],
  );
  const headBytes = Buffer.byteLength(head);
  return { head, headBytes, json, bytes: LENGTH_BYTES + headBytes + 1 + json.length };
}

/** Writes a message at `at`; returns where it ends. */
export function writeMessage(
  target: Buffer,
  at: number,
  { head, headBytes, json, bytes }: MessageForm,
): number {
  const headAt = target.writeUInt32LE(bytes - LENGTH_BYTES, at);
  target.write(head, headAt);
  target[headAt + headBytes] = NEWLINE;
  target.set(json, headAt + headBytes + 1);
  return at + bytes;
}

function decodeMessage(bytes: Buffer): Message {
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

/** A message with its place in its channel's log. */
export interface Numbered {
  readonly message: Message;
  readonly offset: number;
  readonly order: number;
}

export interface Announcement {
  /** `-` for messages without history. */
  readonly epoch: string;
  /** Empty when only the log's state has changed. */
  readonly publications: readonly Numbered[];
}

export function decodeAnnouncement(bytes: Buffer): Announcement {
  const epoch = bytes[0] === HYPHEN ? '-' : bytes.toString('latin1', 0, EPOCH_BYTES);
  return { epoch, publications: messagesOf(bytes, readFacts(bytes)) };
}

export interface LogFacts {
  readonly epoch: string;
  readonly offset: number;
  readonly order: number;
  /** Newest message whose publisher chose no ttl. */
  readonly lasting: number;
  /** Latest expiry among messages whose publisher chose a ttl, ms. */
  readonly own: number;
  readonly bytes: number;
  readonly ancestors: readonly Ancestor[];
}

/** Reads a log; `undefined` for a channel that has none. */
export function readLog(log: Buffer): LogFacts | undefined {
  if (log.length === 0) return undefined;
  const newest = readFacts(log);
  const { offset, order, bytes } = newest;
  const ancestors = log.toString('latin1', log.indexOf(0, RUN_AT) + 1);
  return {
    epoch: log.toString('latin1', 0, EPOCH_BYTES),
    offset,
    order,
    lasting: newest.hasOwnTtl ? newest.lasting : offset,
    own: newest.hasOwnTtl ? Math.max(newest.own, newest.expiresMs) : newest.own,
    bytes,
    ancestors: ancestors === '' ? NONE : ancestors.split(',').map(parseAncestor),
  };
}

const NONE: readonly Ancestor[] = [];

function parseAncestor(text: string): Ancestor {
  const [epoch = '', upTo = ''] = text.split(':');
  return { epoch, upTo: Number.parseInt(upTo, 10), isLossy: upTo.includes('!') };
}

/** Facts of an entry. `lasting` and `own` are those of the log as it was before the entry. */
export interface EntryFacts {
  /** Offset of its first message. */
  readonly first: number;
  /** Offset of its last message. */
  readonly offset: number;
  readonly lasting: number;
  readonly own: number;
  /** Order of its last message; those of the others come before it without holes. */
  readonly order: number;
  /** When its messages expire, ms since 1970; 0 for never. */
  readonly expiresMs: number;
  readonly hasOwnTtl: boolean;
  /** Bytes of all entries of the log up to this one. */
  readonly bytes: number;
}

export function readFacts(entry: Buffer): EntryFacts {
  const offset = entry.readDoubleLE(OFFSET_AT);
  const expires = entry.readDoubleLE(EXPIRES_AT);
  return {
    first: offset - entry.readUInt16LE(COUNT_AT) + 1,
    offset,
    lasting: entry.readDoubleLE(LASTING_AT),
    own: entry.readDoubleLE(OWN_AT),
    order: entry.readDoubleLE(ORDER_AT),
    expiresMs: Math.abs(expires),
    hasOwnTtl: expires < 0,
    bytes: entry.readDoubleLE(BYTES_AT),
  };
}

/** Facts of the same entry without its messages before `from`. */
export function factsFrom(facts: EntryFacts, from: number): EntryFacts {
  const { first, lasting, own, expiresMs, hasOwnTtl } = facts;
  if (first >= from) return facts;
  return {
    ...facts,
    first: from,
    lasting: hasOwnTtl ? lasting : from - 1,
    own: hasOwnTtl ? Math.max(own, expiresMs) : own,
  };
}

/** Decodes the messages that the facts cover: all of an entry's, or its last ones. */
export function messagesOf(entry: Buffer, { first, offset: last, order }: EntryFacts): Numbered[] {
  const messages: Numbered[] = [];
  let offset = last - entry.readUInt16LE(COUNT_AT) + 1;
  for (let at = FACTS_BYTES; at < entry.length; offset++) {
    const end = at + LENGTH_BYTES + entry.readUInt32LE(at);
    if (offset >= first) {
      const message = decodeMessage(entry.subarray(at + LENGTH_BYTES, end));
      messages.push({ message, offset, order: order - (last - offset) });
    }
    at = end;
  }
  return messages;
}

/**
 * Offset of the newest lost message, given that everything before the entry `first` is gone; without `first`, that
 * all of the log is gone. A message whose publisher chose its ttl is not lost once that has run out.
 */
export function lostBefore(log: LogFacts, first: EntryFacts | undefined, nowMs: number): number {
  if (first === undefined) return log.own > nowMs ? log.offset : log.lasting;
  return first.own > nowMs ? first.first - 1 : first.lasting;
}

export function stateOf(log: LogFacts, floor: number): LogState {
  const { epoch, offset, ancestors } = log;
  return ancestors.length === 0 ? { epoch, offset, floor } : { epoch, offset, floor, ancestors };
}

/** A number that a script returned as text. */
export function numberOf(text: Buffer): number {
  return Number(text.toString('latin1'));
}
