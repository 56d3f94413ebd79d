/** A stream under observation: its headers, its events with their times of arrival, and its end. */
import { setTimeout as delay } from 'node:timers/promises';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { EventStreamParser } from '@message-push/protocol';
import type { Answer } from './exchange.ts';

export interface WatchedEvent {
  readonly type: string;
  readonly data: string;
  /** Time of arrival of its last byte, as `performance.now()`. */
  readonly atMs: number;
}

export interface StreamEnd {
  readonly how: 'end' | 'reset';
  readonly atMs: number;
}

const POLL_MS = 20;
const MAX_BEGINNING = 2000;

export class WatchedStream {
  readonly answer: Answer;
  readonly events: WatchedEvent[] = [];
  /** Time of the last bytes; `undefined` before the first. */
  lastBytesAtMs: number | undefined;
  end: StreamEnd | undefined;
  /** Beginning of the raw body: the error text of a response that is not a stream. */
  beginning = '';

  constructor(answer: Answer) {
    this.answer = answer;
    let atMs = 0;
    const parser = new EventStreamParser({
      onEvent: ({ type, data }) => this.events.push({ type, data, atMs }),
    });
    const onBytes = (bytes: Buffer): void => {
      atMs = performance.now();
      try {
        parser.push(bytes);
      } catch (error) {
        // An event without an end: the stream counts as broken off.
        body.destroy(error as Error);
      }
    };
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
    // A stream that is cut ends within a compressed block; this error adds nothing to the cut itself.
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

  /** Resolves with the first event that `matches`; with `undefined` on a timeout or at the end of the stream. */
  async event(
    matches: (event: WatchedEvent) => boolean,
    timeoutMs: number,
  ): Promise<WatchedEvent | undefined> {
    const untilMs = performance.now() + timeoutMs;
    for (;;) {
      const found = this.events.find(matches);
      if (found !== undefined || this.end !== undefined || performance.now() > untilMs) return found;
      await delay(POLL_MS);
    }
  }

  /** Resolves when the stream ends or at `untilMs`. */
  async watch(untilMs: number): Promise<void> {
    while (this.end === undefined && performance.now() < untilMs) await delay(POLL_MS);
  }

  close(): void {
    // Record the end first: what follows is not caused by the peer.
    this.end ??= { how: 'end', atMs: performance.now() };
    this.answer.close();
  }
}
