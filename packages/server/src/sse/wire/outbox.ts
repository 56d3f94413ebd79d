/**
 * The frames that a session has still to send. They are gathered and written in one piece: for a quiet stream at once,
 * for a busy one at most once per flush interval. Small shared bytes are copied, because one write of one buffer is the
 * cheapest. Large ones are handed to the socket as they are, so that they exist once in memory.
 */
import type { StreamSocket } from './stream-socket.ts';

/** Above this many bytes of body, two buffers in one `writev` are cheaper than a copy. */
const COPY_LIMIT_BYTES = 16 * 1024;

export class Outbox {
  readonly #socket: StreamSocket;
  /** Pairs of the end of an id line, or '', and shared bytes. */
  #pending: (string | Uint8Array)[] | undefined;
  pendingBytes = 0;
  #writtenBytes = 0;
  lastFlushMs = 0;
  isDirty = false;

  constructor(socket: StreamSocket) {
    this.#socket = socket;
  }

  /** Bytes that the socket has taken and the kernel has not. */
  get unsentBytes(): number {
    return this.#socket.writableLength;
  }

  /** Bytes that the kernel has taken. Grows by whole writes. */
  get sentBytes(): number {
    return this.#writtenBytes - this.#socket.writableLength;
  }

  get pendingFrames(): number {
    return this.#pending === undefined ? 0 : this.#pending.length / 2;
  }

  /** Adds a frame. `head` must be ASCII. */
  push(head: string, bytes: Uint8Array): void {
    if (this.#pending === undefined) this.#pending = [head, bytes];
    else this.#pending.push(head, bytes);
    this.pendingBytes += head.length + bytes.length;
  }

  /** Writes what is pending, and returns its size in bytes. */
  flush(nowMs: number): number {
    const pending = this.#pending;
    if (pending === undefined) return 0;
    const length = this.pendingBytes;
    this.#pending = undefined;
    this.pendingBytes = 0;
    this.lastFlushMs = nowMs;
    this.#writtenBytes += length;
    if (length <= COPY_LIMIT_BYTES) this.#writeCopied(pending, 0, pending.length, length);
    else this.#writeInParts(pending);
    return length;
  }

  write(bytes: string | Uint8Array): void {
    this.#writtenBytes += bytes.length;
    this.#socket.write(bytes);
  }

  /**
   * Calls back when what is unsent now has been sent, or never will be. Unlike 'drain', it also comes for a few bytes.
   */
  onceSent(callback: () => void): void {
    this.#socket.write('', callback);
  }

  #writeInParts(pending: readonly (string | Uint8Array)[]): void {
    this.#socket.cork();
    let start = 0;
    let length = 0;
    for (let i = 0; i < pending.length; i += 2) {
      const head = pending[i] as string;
      const bytes = pending[i + 1] as Uint8Array;
      const isLarge = head.length + bytes.length > COPY_LIMIT_BYTES;
      if (isLarge || length + head.length + bytes.length > COPY_LIMIT_BYTES) {
        if (length > 0) this.#writeCopied(pending, start, i, length);
        start = i;
        length = 0;
      }
      if (isLarge) {
        if (head !== '') this.#socket.write(head, 'latin1');
        this.#socket.write(bytes);
        start = i + 2;
      } else length += head.length + bytes.length;
    }
    if (length > 0) this.#writeCopied(pending, start, pending.length, length);
    this.#socket.uncork();
  }

  /** `length` is at most `COPY_LIMIT_BYTES`. */
  #writeCopied(pairs: readonly (string | Uint8Array)[], from: number, to: number, length: number): void {
    if (scratchStart + length > COPY_LIMIT_BYTES) renewScratch();
    const target = scratch;
    let end = scratchStart;
    for (let i = from; i < to; i += 2) {
      const head = pairs[i] as string;
      if (head !== '') end += target.write(head, end, 'latin1');
      const bytes = pairs[i + 1] as Uint8Array;
      target.set(bytes, end);
      end += bytes.length;
    }
    if (scratchView.length !== length) scratchView = target.subarray(scratchStart, end);
    this.#socket.write(scratchView);
    // On a bare socket the kernel nearly always has everything by now. When it has not, and always under TLS, the socket
    // keeps the bytes until they are sent, and the next write is put together behind them.
    if (this.#socket.writableLength > 0) {
      scratchStart = end;
      scratchView = scratch.subarray(0, 0);
    }
  }
}

/**
 * The buffer in which the next write is put together, and the view of it that was written last. Most writes in a row
 * have the same length, and a new view for each would cost as much as the copy.
 */
let scratch = Buffer.allocUnsafeSlow(COPY_LIMIT_BYTES);
let scratchStart = 0;
let scratchView = scratch.subarray(0, 0);

function renewScratch(): void {
  scratch = Buffer.allocUnsafeSlow(COPY_LIMIT_BYTES);
  scratchStart = 0;
  scratchView = scratch.subarray(0, 0);
}
