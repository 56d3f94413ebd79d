/**
 * An event stream parser as the HTML standard has it (9.2.6), for clients that are to behave as a browser does:
 * ids count when their block is complete, with data or without; an unfinished block is never heard of.
 */
import { StringDecoder } from 'node:string_decoder';

export type EventHandler = (type: string, data: string, lastEventId: string) => void;

export class EventParser {
  /** Id of the last complete block: what a reconnect sends. */
  lastEventId: string;
  retryMs: number | undefined;
  /** Complete blocks without data that carried an id. */
  idOnlyBlocks = 0;
  readonly #onEvent: EventHandler;
  readonly #decoder = new StringDecoder('utf8');
  #rest = '';
  #isStart = true;
  #skipsLineFeed = false;
  #idBuffer: string;
  #type = '';
  #data: string | undefined;

  constructor(onEvent: EventHandler, lastEventId = '') {
    this.#onEvent = onEvent;
    this.lastEventId = lastEventId;
    this.#idBuffer = lastEventId;
  }

  push(bytes: Buffer): void {
    let text = this.#decoder.write(bytes);
    if (this.#isStart && text !== '') {
      if (text.startsWith('\ufeff')) text = text.slice(1);
      this.#isStart = false;
    }
    if (this.#skipsLineFeed && text !== '') {
      if (text.startsWith('\n')) text = text.slice(1);
      this.#skipsLineFeed = false;
    }
    if (text.includes('\r')) {
      this.#skipsLineFeed = text.endsWith('\r');
      text = text.replace(/\r\n?/g, '\n');
    }
    text = this.#rest + text;
    let start = 0;
    for (;;) {
      const end = text.indexOf('\n', start);
      if (end < 0) break;
      this.#takeLine(text.slice(start, end));
      start = end + 1;
    }
    this.#rest = text.slice(start);
  }

  #takeLine(line: string): void {
    if (line === '') {
      this.#dispatch();
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = '';
    if (colon >= 0) value = line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'data') this.#data = this.#data === undefined ? value : `${this.#data}\n${value}`;
    else if (field === 'event') this.#type = value;
    else if (field === 'id') {
      if (!value.includes('\0')) this.#idBuffer = value;
    } else if (field === 'retry' && /^[0-9]+$/.test(value)) this.retryMs = Number(value);
  }

  #dispatch(): void {
    const data = this.#data;
    const type = this.#type;
    this.#data = undefined;
    this.#type = '';
    if (data === undefined && this.#idBuffer !== this.lastEventId) this.idOnlyBlocks++;
    this.lastEventId = this.#idBuffer;
    // [spec] A data buffer that is the empty string dispatches nothing.
    if (data !== undefined && data !== '')
      this.#onEvent(type === '' ? 'message' : type, data, this.lastEventId);
  }
}
