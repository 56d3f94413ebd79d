/**
 * Counts the events of many SSE streams and checks that each message came once and in order, without allocating.
 *
 * An event ends with an empty line. Three shortcuts keep this cheaper than any measured server: an event is expected
 * to be as long as the one before it, its stamp is expected at the same place, and only the unfinished end of a chunk
 * is copied. HTTP chunk framing is not decoded: it becomes part of the next event's text, which is harmless as long
 * as servers do not cut a chunk inside the empty line of an event (the sequence check would show it). Line ends must
 * be LF, as every measured server sends them.
 */
import { LatencyHistogram } from './latency-histogram.ts';
import { findStamp, hasStampAt, stampLane, stampSequence, stampTimeUs } from './stamp.ts';

const LF = 0x0a;
const HEAD_END = Buffer.from('\r\n\r\n');
const GAP_EVENT = Buffer.from('event: gap');
const ID_FIELD = Buffer.from('id:');

export interface EventCounterOptions {
  readonly streams: number;
  /** Publishers whose sequences are tracked per stream. */
  readonly lanes: number;
  /** Length of the longest event or response head that may arrive in pieces. */
  readonly maxEventBytes: number;
  /** Keep each stream's last event id, for `Last-Event-ID`; allocates a string per event. */
  readonly keepsIds: boolean;
}

/** State of a stream's response head after a feed. */
export type HeadState = 'reading' | 'accepted' | 'refused';

export interface Mismatch {
  /** Sequence numbers that were skipped or never came. */
  readonly missing: number;
  /** Messages with a sequence number not above the last one. */
  readonly repeated: number;
}

export class EventCounter {
  messages = 0;
  bytes = 0;
  /** Events without a stamp: greetings, heartbeats, comments. */
  otherEvents = 0;
  gaps = 0;
  /** Record the latency of every n-th message; 0 records none. */
  sampleEvery = 0;
  /** Streams below this number are not sampled. */
  sampledFrom = 0;
  readonly latency = new LatencyHistogram();
  readonly lastIds: (string | undefined)[] = [];

  readonly #options: EventCounterOptions;
  readonly #unfinished: Buffer;
  readonly #unfinishedBytes: Int32Array;
  readonly #isInBody: Uint8Array;
  readonly #lastSequences: Int32Array;
  #skipped = 0;
  #repeated = 0;
  #expectedBytes = 0;
  #stampOffset = 0;
  #untilSample = 0;

  constructor(options: EventCounterOptions) {
    this.#options = options;
    this.#unfinished = Buffer.alloc(options.streams * options.maxEventBytes);
    this.#unfinishedBytes = new Int32Array(options.streams);
    this.#isInBody = new Uint8Array(options.streams);
    this.#lastSequences = new Int32Array(options.streams * options.lanes);
  }

  /** Starts the stream again at its response head; its sequences continue. */
  restart(stream: number): void {
    this.#unfinishedBytes[stream] = 0;
    this.#isInBody[stream] = 0;
  }

  /** Takes the next `length` bytes of a stream, which arrived at `nowUs`. */
  feed(stream: number, chunk: Buffer, length: number, nowUs: number): HeadState {
    this.bytes += length;
    let at = 0;
    if (this.#isInBody[stream] === 0) {
      at = this.#feedHead(stream, chunk, length);
      if (at < 0) return at === REFUSED ? 'refused' : 'reading';
    } else if (this.#unfinishedBytes[stream] !== 0) {
      at = this.#finishEvent(stream, chunk, length, nowUs);
    }
    while (at < length) {
      const end = this.#eventEnd(chunk, at, length);
      if (end < 0) break;
      this.#takeEvent(stream, chunk, at, end, nowUs);
      at = end;
    }
    if (at < length) this.#keep(stream, chunk, at, length);
    return 'accepted';
  }

  /** Compares the counts with what was published: per lane for every stream, or per stream (in lane 0). */
  compare(expected: (stream: number, lane: number) => number): Mismatch {
    const { streams, lanes } = this.#options;
    let missing = this.#skipped;
    for (let stream = 0; stream < streams; stream++) {
      for (let lane = 0; lane < lanes; lane++) {
        const last = this.#lastSequences[stream * lanes + lane] ?? 0;
        missing += Math.max(0, expected(stream, lane) - last);
      }
    }
    return { missing, repeated: this.#repeated };
  }

  #feedHead(stream: number, chunk: Buffer, length: number): number {
    const kept = this.#unfinishedBytes[stream] ?? 0;
    const start = stream * this.#options.maxEventBytes;
    // The first events may arrive together with the head; they are read from the chunk itself.
    const taken = Math.min(length, this.#options.maxEventBytes - kept);
    this.#keep(stream, chunk, 0, taken);
    const head = this.#unfinished.subarray(start, start + kept + taken);
    const end = head.indexOf(HEAD_END);
    if (end < 0) {
      if (taken < length) throw tooLong(this.#options.maxEventBytes);
      return READING;
    }
    this.#unfinishedBytes[stream] = 0;
    if (head.toString('latin1', 9, 12) !== '200') return REFUSED;
    this.#isInBody[stream] = 1;
    return end + HEAD_END.length - kept;
  }

  /** Completes the kept event with the start of `chunk`; returns where the next one starts. */
  #finishEvent(stream: number, chunk: Buffer, length: number, nowUs: number): number {
    const start = stream * this.#options.maxEventBytes;
    const kept = this.#unfinishedBytes[stream] ?? 0;
    const taken = Math.min(length, this.#options.maxEventBytes - kept);
    chunk.copy(this.#unfinished, start + kept, 0, taken);
    const end = findEmptyLine(this.#unfinished, Math.max(start, start + kept - 1), start + kept + taken);
    if (end < 0) {
      if (taken < length) throw tooLong(this.#options.maxEventBytes);
      this.#unfinishedBytes[stream] = kept + taken;
      return length;
    }
    this.#takeEvent(stream, this.#unfinished, start, end, nowUs);
    this.#unfinishedBytes[stream] = 0;
    return end - start - kept;
  }

  #eventEnd(chunk: Buffer, at: number, length: number): number {
    const guess = at + this.#expectedBytes;
    if (guess > at + 1 && guess <= length && chunk[guess - 1] === LF && chunk[guess - 2] === LF) return guess;
    const end = findEmptyLine(chunk, at, length);
    if (end > 0) this.#expectedBytes = end - at;
    return end;
  }

  #takeEvent(stream: number, bytes: Buffer, start: number, end: number, nowUs: number): void {
    if (this.#options.keepsIds) this.#keepId(stream, bytes.subarray(start, end));
    let stamp = start + this.#stampOffset;
    if (!hasStampAt(bytes, stamp, end)) {
      stamp = findStamp(bytes, start, end);
      if (stamp < 0) {
        this.otherEvents++;
        if (bytes.subarray(start, end).includes(GAP_EVENT)) this.gaps++;
        return;
      }
      this.#stampOffset = stamp - start;
    }
    this.messages++;
    this.#checkSequence(stream, stampLane(bytes, stamp), stampSequence(bytes, stamp));
    if (this.sampleEvery > 0 && stream >= this.sampledFrom && ++this.#untilSample >= this.sampleEvery) {
      this.#untilSample = 0;
      this.latency.record(nowUs - stampTimeUs(bytes, stamp));
    }
  }

  #checkSequence(stream: number, lane: number, sequence: number): void {
    const { lanes } = this.#options;
    if (lane >= lanes) throw new Error(`a message of lane ${lane}, but there are ${lanes}`);
    const index = stream * lanes + lane;
    const last = this.#lastSequences[index] ?? 0;
    if (sequence <= last) {
      this.#repeated++;
      return;
    }
    this.#skipped += sequence - last - 1;
    this.#lastSequences[index] = sequence;
  }

  #keepId(stream: number, event: Buffer): void {
    for (let at = 0; at >= 0 && at < event.length; ) {
      const end = event.indexOf(LF, at);
      if (end < 0) return;
      if (event.subarray(at, at + ID_FIELD.length).equals(ID_FIELD)) {
        this.lastIds[stream] = event.toString('latin1', at + ID_FIELD.length, end).trim();
      }
      at = end + 1;
    }
  }

  #keep(stream: number, chunk: Buffer, from: number, to: number): void {
    const kept = this.#unfinishedBytes[stream] ?? 0;
    const { maxEventBytes } = this.#options;
    if (kept + to - from > maxEventBytes) throw tooLong(maxEventBytes);
    chunk.copy(this.#unfinished, stream * maxEventBytes + kept, from, to);
    this.#unfinishedBytes[stream] = kept + to - from;
  }
}

const READING = -1;
const REFUSED = -2;

function tooLong(maxEventBytes: number): Error {
  return new Error(`an event or a response head is longer than ${maxEventBytes} bytes`);
}

/** Returns the index after the first empty line of `[from, end)`, or -1. */
function findEmptyLine(bytes: Uint8Array, from: number, end: number): number {
  // Looking at every second byte finds one of two adjacent line ends.
  for (let i = from + 1; i < end; i += 2) {
    if (bytes[i] !== LF) continue;
    if (bytes[i - 1] === LF) return i + 1;
    if (i + 1 < end && bytes[i + 1] === LF) return i + 2;
  }
  return -1;
}
