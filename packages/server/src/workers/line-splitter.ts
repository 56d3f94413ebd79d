/** Turns text that arrives in pieces into whole lines, each with its line break. */

/** A longer line is passed on in parts, so that one without an end does not fill memory. */
const MAX_LINE_CHARS = 1024 * 1024;

export class LineSplitter {
  readonly #onLine: (line: string) => void;
  #rest = '';

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  push(text: string): void {
    let start = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
      this.#onLine(this.#rest + text.slice(start, end + 1));
      this.#rest = '';
      start = end + 1;
    }
    this.#rest += text.slice(start);
    if (this.#rest.length > MAX_LINE_CHARS) this.end();
  }

  /** Passes on the rest as a line; nothing follows. */
  end(): void {
    const line = this.#rest;
    this.#rest = '';
    if (line !== '') this.#onLine(`${line}\n`);
  }
}
