/**
 * An incremental parser of `text/event-stream`, as the HTML standard defines it (9.2.6). It takes bytes in whatever
 * pieces they arrive and calls back as soon as a block is complete. A block that the end of the stream cuts off is
 * dropped, together with its id.
 */

export interface StreamEvent {
  /** Name of the event; `message` when the stream gave none. */
  readonly type: string;
  readonly data: string;
  /** The id of this event or, when it has none, of the newest one before it that had. */
  readonly lastEventId: string;
}

export interface EventStreamParserOptions {
  /** Called within `push`, in the order of the stream. */
  readonly onEvent: (event: StreamEvent) => void;
  /** Called when a block without data moves the last event id. */
  readonly onIdOnly?: (lastEventId: string) => void;
  /** The id to start from, when an earlier connection is resumed. */
  readonly lastEventId?: string;
  /** The longest allowed line and the longest allowed data of one event, in UTF-16 code units. */
  readonly maxEventLength?: number;
}

/** More than the largest message that the service can be configured to accept (64 MiB), with its envelope. */
const DEFAULT_MAX_EVENT_LENGTH = 72 * 1024 * 1024;

/** The longest delay of a timer: a longer one would fire at once. */
const MAX_RETRY_MS = 2 ** 31 - 1;

const LF = 0x0a;
const SPACE = 0x20;
const COLON = 0x3a;

/** The stream sent a line or an event longer than `maxEventLength`. Nothing after it can be read. */
export class EventTooLongError extends Error {
  override readonly name = 'EventTooLongError';
}

export class EventStreamParser {
  /** Id of the last complete block: what a reconnect sends as `Last-Event-ID`. */
  lastEventId: string;
  /** The newest `retry:` of the stream; `undefined` before the first one. */
  retryMs: number | undefined;
  readonly #onEvent: (event: StreamEvent) => void;
  readonly #onIdOnly: ((lastEventId: string) => void) | undefined;
  readonly #maxLength: number;
  /** Removes a byte order mark at the start and replaces what is not UTF-8, as the standard demands. */
  readonly #decoder = new TextDecoder();
  /** The line that has not ended yet. */
  #unfinishedLine = '';
  /** The last line ended with a CR at the end of a piece: an LF at the start of the next belongs to it. */
  #skipsLineFeed = false;
  #isTooLong = false;
  // What the lines of the current block have said so far.
  #id: string;
  #type = '';
  #data: string | undefined;

  constructor({ onEvent, onIdOnly, lastEventId = '', maxEventLength }: EventStreamParserOptions) {
    this.#onEvent = onEvent;
    this.#onIdOnly = onIdOnly;
    this.#maxLength = maxEventLength ?? DEFAULT_MAX_EVENT_LENGTH;
    this.lastEventId = lastEventId;
    this.#id = lastEventId;
  }

  /** Takes the next bytes of the stream. Throws `EventTooLongError` from the first line on that is too long. */
  push(bytes: Uint8Array): void {
    if (this.#isTooLong) this.#refuse();
    const text = this.#decoder.decode(bytes, { stream: true });
    if (text === '') return;
    let start = 0;
    if (this.#skipsLineFeed) {
      this.#skipsLineFeed = false;
      if (text.charCodeAt(0) === LF) start = 1;
    }
    let lf = text.indexOf('\n', start);
    let cr = text.indexOf('\r', start);
    while (lf >= 0 || cr >= 0) {
      const isCr = cr >= 0 && (lf < 0 || cr < lf);
      const end = isCr ? cr : lf;
      this.#takeLine(text, start, end);
      start = end + 1;
      if (isCr) {
        if (start === text.length) this.#skipsLineFeed = true;
        else if (start === lf) start++;
        cr = text.indexOf('\r', start);
      }
      // Searched again only once it has been passed: a search per line would scan streams with CR alone to their end.
      if (lf >= 0 && lf < start) lf = text.indexOf('\n', start);
    }
    if (start === text.length) return;
    this.#unfinishedLine += start === 0 ? text : text.slice(start);
    if (this.#unfinishedLine.length > this.#maxLength) this.#refuse();
  }

  #takeLine(text: string, start: number, end: number): void {
    if (this.#unfinishedLine !== '') {
      text = this.#unfinishedLine + text.slice(start, end);
      start = 0;
      end = text.length;
      this.#unfinishedLine = '';
    }
    if (start === end) {
      this.#finishBlock();
      return;
    }
    if (end - start > this.#maxLength) this.#refuse();
    // A line that starts with a colon is a comment.
    if (text.charCodeAt(start) === COLON) return;
    if (text.startsWith('data:', start)) this.#addData(text.slice(valueStart(text, start + 5), end));
    else if (text.startsWith('id:', start)) this.#setId(text.slice(valueStart(text, start + 3), end));
    else if (text.startsWith('event:', start)) this.#type = text.slice(valueStart(text, start + 6), end);
    else this.#takeOtherField(text.slice(start, end));
  }

  /** Handles the rarer lines: `retry`, a field without a colon, an unknown field. */
  #takeOtherField(line: string): void {
    if (line === 'data') this.#addData('');
    else if (line === 'id') this.#setId('');
    else if (line === 'event') this.#type = '';
    else if (/^retry: ?[0-9]+$/.test(line)) {
      this.retryMs = Math.min(Number(line.slice(valueStart(line, 6))), MAX_RETRY_MS);
    }
  }

  #addData(value: string): void {
    this.#data = this.#data === undefined ? value : `${this.#data}\n${value}`;
    if (this.#data.length > this.#maxLength) this.#refuse();
  }

  #setId(value: string): void {
    if (!value.includes('\0')) this.#id = value;
  }

  #finishBlock(): void {
    const data = this.#data;
    const type = this.#type;
    const hasMoved = this.#id !== this.lastEventId;
    this.lastEventId = this.#id;
    this.#data = undefined;
    this.#type = '';
    if (data !== undefined) this.#onEvent({ type: type || 'message', data, lastEventId: this.lastEventId });
    else if (hasMoved) this.#onIdOnly?.(this.lastEventId);
  }

  #refuse(): never {
    this.#isTooLong = true;
    this.#unfinishedLine = '';
    this.#data = undefined;
    throw new EventTooLongError(`the event stream has an event longer than ${this.#maxLength} characters`);
  }
}

/** One space after the colon is not part of the value. */
function valueStart(text: string, afterColon: number): number {
  return text.charCodeAt(afterColon) === SPACE ? afterColon + 1 : afterColon;
}
