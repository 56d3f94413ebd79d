/** How far a server's clock is ahead of this machine's: deadlines and windows of receipts follow the server's. */
import type { RedisConnection } from './connection.ts';

export class ServerClock {
  #offsetUs = 0;

  /** Positive when the server's clock is ahead. */
  get offsetMs(): number {
    return this.#offsetUs / 1000;
  }

  /** The server's time `fromNowMs` from now, µs since 1970. */
  us(fromNowMs = 0): number {
    return Math.round((Date.now() + fromNowMs) * 1000 + this.#offsetUs);
  }

  async read(connection: RedisConnection): Promise<void> {
    const sentMs = Date.now();
    const [seconds, micros] = (await connection.call(['TIME'])) as [string, string];
    // The server read it at some time in between.
    const middleUs = ((sentMs + Date.now()) / 2) * 1000;
    this.#offsetUs = Number(seconds) * 1e6 + Number(micros) - middleUs;
  }
}
