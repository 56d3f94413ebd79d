/** Counts by the second how many streams come back, so that a herd is seen even when nothing is lost by it. */
import type { FleetStream } from './fleet-streams.ts';

const SECOND_MS = 1000;

export class ReconnectMeter {
  /** Streams that came back in each second since it was started. */
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

  /** Answers to streams, whatever these said: one that is told to come back again counts twice. */
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
