/**
 * Finds the end of each HTTP response on a keep-alive connection: by `Content-Length` or by the last chunk.
 * Only one request is outstanding at a time, so all bytes that arrive belong to one response.
 */

const HEAD_END = Buffer.from('\r\n\r\n');
const LAST_CHUNK = Buffer.from('0\r\n\r\n');
const NO_FAILURES = Buffer.from('"failed_count":0');

export class ResponseReader {
  #bytes = Buffer.allocUnsafe(16_384);
  #length = 0;
  #bodyAt = 0;
  /** Length of head and body; -1 when chunked, 0 while unknown. */
  #total = 0;
  #status = 0;

  /** Returns the status of the response that these bytes complete, or 0 when more bytes must follow. */
  feed(chunk: Uint8Array, length: number): number {
    this.#append(chunk, length);
    if (this.#total === 0 && !this.#readHead()) return 0;
    if (!this.#isComplete()) return 0;
    return this.#status;
  }

  /** The body of the completed response, valid until `next`. */
  get body(): Buffer {
    return this.#bytes.subarray(this.#bodyAt, this.#length);
  }

  /** The completed response of a batch reports no failure. */
  get hasNoFailures(): boolean {
    return this.body.includes(NO_FAILURES);
  }

  /** Forgets the completed response. */
  next(): void {
    this.#length = 0;
    this.#total = 0;
  }

  #append(chunk: Uint8Array, length: number): void {
    if (this.#length + length > this.#bytes.length) {
      const larger = Buffer.allocUnsafe((this.#length + length) * 2);
      this.#bytes.copy(larger, 0, 0, this.#length);
      this.#bytes = larger;
    }
    this.#bytes.set(chunk.subarray(0, length), this.#length);
    this.#length += length;
  }

  #readHead(): boolean {
    const end = this.#bytes.subarray(0, this.#length).indexOf(HEAD_END);
    if (end < 0) return false;
    const head = this.#bytes.toString('latin1', 0, end);
    this.#status = Number(head.slice(9, 12));
    this.#bodyAt = end + HEAD_END.length;
    const match = /\r\ncontent-length: *(\d+)/i.exec(head);
    if (match !== null) this.#total = this.#bodyAt + Number(match[1]);
    else if (/\r\ntransfer-encoding: *chunked/i.test(head)) this.#total = -1;
    else if (this.#status === 204) this.#total = this.#bodyAt;
    else throw new Error(`a response without a length: ${head}`);
    return true;
  }

  #isComplete(): boolean {
    if (this.#total >= 0) return this.#length >= this.#total;
    const from = Math.max(this.#bodyAt, this.#length - LAST_CHUNK.length);
    return this.#bytes.subarray(from, this.#length).equals(LAST_CHUNK);
  }
}
