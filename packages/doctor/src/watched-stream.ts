/** A stream that is being watched: its head, its events with the times at which they came, and how it ended. */
import { setTimeout as delay } from 'node:timers/promises';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { EventParser, type StreamEvent } from './event-parser.ts';
import type { Answer } from './exchange.ts';

export interface StreamEnd {
  readonly how: 'end' | 'reset';
  readonly atMs: number;
}

const POLL_MS = 20;
const MAX_BEGINNING = 2000;

export class WatchedStream {
  readonly answer: Answer;
  readonly events: StreamEvent[] = [];
  /** When bytes came last; undefined: none have. */
  lastBytesAtMs: number | undefined;
  end: StreamEnd | undefined;
  /** Of the body, as it came: what an answer says that is no stream. */
  beginning = '';

  constructor(answer: Answer) {
    this.answer = answer;
    const parser = new EventParser((event) => this.events.push(event));
    const onBytes = (bytes: Buffer): void => parser.push(bytes, performance.now());
    const { body } = answer;
    const encoding = answer.headers['content-encoding'];
    const unpacking =
      encoding === 'gzip'
        ? createGunzip()
        : encoding === 'deflate'
          ? createInflate()
          : encoding === 'br'
            ? createBrotliDecompress()
            : undefined;
    unpacking?.on('data', onBytes);
    // A stream that is cut ends within a packed block, which says nothing more than the cut does.
    unpacking?.on('error', () => unpacking.destroy());
    body.on('data', (bytes: Buffer) => {
      this.lastBytesAtMs = performance.now();
      if (this.beginning.length < MAX_BEGINNING) this.beginning += bytes.toString('utf8');
      if (unpacking === undefined) onBytes(bytes);
      else if (!unpacking.destroyed) unpacking.write(bytes);
    });
    body.once('end', () => this.#ended('end'));
    body.on('error', () => this.#ended('reset'));
    body.once('close', () => this.#ended('reset'));
  }

  #ended(how: StreamEnd['how']): void {
    this.end ??= { how, atMs: performance.now() };
  }

  /** The first event that `matches`; undefined when the time is up, or the stream is over, before it comes. */
  async event(matches: (event: StreamEvent) => boolean, timeoutMs: number): Promise<StreamEvent | undefined> {
    const untilMs = performance.now() + timeoutMs;
    for (;;) {
      const found = this.events.find(matches);
      if (found !== undefined || this.end !== undefined || performance.now() > untilMs) return found;
      await delay(POLL_MS);
    }
  }

  /** Until it ends by itself, or `untilMs`. */
  async watch(untilMs: number): Promise<void> {
    while (this.end === undefined && performance.now() < untilMs) await delay(POLL_MS);
  }

  close(): void {
    // What follows is not the peer's doing.
    this.end ??= { how: 'end', atMs: performance.now() };
    this.answer.close();
  }
}
