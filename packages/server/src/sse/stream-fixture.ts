/** A socket whose peer reads as much as the test says, and what an EventSource makes of the bytes. */
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

export class FakeSocket extends Duplex {
  /** Bytes that the peer still takes. The rest waits, as behind a full kernel buffer. */
  #room = Number.POSITIVE_INFINITY;
  #waiting: { chunk: Buffer; done: () => void } | undefined;
  #received: Buffer[] = [];
  #taken = 0;

  constructor(highWaterMark = 65_536) {
    super({ allowHalfOpen: true, writableHighWaterMark: highWaterMark });
  }

  get asSocket(): Socket {
    return this as unknown as Socket;
  }

  get received(): string {
    return Buffer.concat(this.#received).toString();
  }

  get bytesWritten(): number {
    return this.#taken + this.writableLength;
  }

  stall(): void {
    this.#room = 0;
  }

  /** Lets the peer read this many bytes more. */
  letThrough(bytes = Number.POSITIVE_INFINITY): void {
    this.#room += bytes;
    this.#move();
  }

  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#waiting = { chunk, done };
    this.#move();
  }

  #move(): void {
    if (this.#waiting === undefined || this.destroyed) return;
    const { chunk, done } = this.#waiting;
    const count = Math.min(this.#room, chunk.length);
    if (count === 0 && chunk.length > 0) return;
    // A copy, because after a write the caller may use its buffer again.
    this.#received.push(Buffer.from(chunk.subarray(0, count)));
    this.#taken += count;
    this.#room -= count;
    if (count < chunk.length) {
      this.#waiting = { chunk: chunk.subarray(count), done };
      return;
    }
    this.#waiting = undefined;
    done();
  }
}

export interface SeenEvent {
  readonly type: string;
  readonly id: string;
  readonly data: { id: string; data?: unknown };
}

/** [spec] HTML, 9.2.6: complete blocks only; a block without data moves the id and dispatches nothing. */
export function parseEventStream(text: string): { events: SeenEvent[]; lastEventId: string } {
  const events: SeenEvent[] = [];
  let lastEventId = '';
  const body = text.slice(text.indexOf('\r\n\r\n') + 4);
  for (const block of body.split('\n\n').slice(0, -1)) {
    let type = 'message';
    let data = '';
    for (const line of block.split('\n')) {
      if (line.startsWith('id: ')) lastEventId = line.slice(4);
      else if (line.startsWith('event: ')) type = line.slice(7);
      else if (line.startsWith('data: ')) data += line.slice(6);
    }
    if (data !== '') events.push({ type, id: lastEventId, data: JSON.parse(data) });
  }
  return { events, lastEventId };
}
