/** Counts reconnecting streams per second, so that a thundering herd is seen even when nothing is lost. */
import type { FleetStream } from './fleet-streams.ts';

const SECOND_MS = 1000;

export class ReconnectMeter {
  /** Streams that reconnected in each second since the start. */
  readonly perSecond: number[] = [];
  readonly #streams: readonly FleetStream[];
  readonly #timer: NodeJS.Timeout;
  #opens: number;

  constructor(streams: readonly FleetStream[]) {
    this.#streams = streams;
    this.#opens = this.#count();
    this.#timer = setInterval(() => this.#take(), SECOND_MS);
  }

  get worst(): number {
    return Math.max(0, ...this.perSecond);
  }

  /** All answers to streams: a stream that is told to come back later counts twice. */
  get total(): number {
    return this.perSecond.reduce((sum, n) => sum + n, 0);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#take();
  }

  #take(): void {
    const opens = this.#count();
    this.perSecond.push(opens - this.#opens);
    this.#opens = opens;
  }

  #count(): number {
    return this.#streams.reduce((sum, { client }) => sum + client.opens, 0);
  }
}
