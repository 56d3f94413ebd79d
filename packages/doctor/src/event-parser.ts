/** An event stream as the HTML standard has it (9.2.6), as much of it as an examination needs. */
import { StringDecoder } from 'node:string_decoder';

export interface StreamEvent {
  readonly type: string;
  readonly data: string;
  /** When its last byte came, `performance.now()`. */
  readonly atMs: number;
}

export class EventParser {
  readonly #onEvent: (event: StreamEvent) => void;
  readonly #decoder = new StringDecoder('utf8');
  #rest = '';
  #type = '';
  #data: string[] = [];

  constructor(onEvent: (event: StreamEvent) => void) {
    this.#onEvent = onEvent;
  }

  push(bytes: Buffer, atMs: number): void {
    // A lone CR ends a line too; the service writes none, and one that a proxy leaves at the end is a CRLF's half.
    const lines = (this.#rest + this.#decoder.write(bytes)).split(/\r?\n/);
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#take(line, atMs);
  }

  #take(line: string, atMs: number): void {
    if (line === '') {
      if (this.#data.length > 0)
        this.#onEvent({ type: this.#type || 'message', data: this.#data.join('\n'), atMs });
      this.#type = '';
      this.#data = [];
      return;
    }
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'data') this.#data.push(value);
    else if (field === 'event') this.#type = value;
  }
}
