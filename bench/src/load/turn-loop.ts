/**
 * Publishes in turns: sends some publishes at once, awaits all of their results, then begins the next turn. Several
 * turns are in progress at a time, as in a service with many publishers.
 */

/** Starts the publishes of one turn; resolves when all have completed. */
export type Turn = (publishes: number) => Promise<unknown>;

export interface TurnPlan {
  readonly publishes: number;
  /** Number of turns in progress at a time. */
  readonly underWay: number;
  /** Turns a second; `undefined` for as many as possible. */
  readonly perSecond?: number | undefined;
}

export class TurnLoop {
  readonly #turn: Turn;
  #isRunning = false;
  #loops: Promise<unknown> = Promise.resolve();
  published = 0;

  constructor(turn: Turn) {
    this.#turn = turn;
  }

  start({ publishes, underWay, perSecond }: TurnPlan): void {
    this.#isRunning = true;
    const startMs = performance.now();
    let turns = 0;
    const run = async (): Promise<void> => {
      while (this.#isRunning) {
        if (perSecond !== undefined) {
          const earlyMs = startMs + (turns * 1000) / perSecond - performance.now();
          turns++;
          if (earlyMs > 0) await new Promise((resolve) => setTimeout(resolve, earlyMs));
        }
        await this.#turn(publishes);
        this.published += publishes;
      }
    };
    this.#loops = Promise.all(Array.from({ length: underWay }, run));
    // `stop` reports a failure.
    this.#loops.catch(() => undefined);
  }

  /** Resolves when everything that was sent has completed; rejects when a turn has failed. */
  async stop(): Promise<void> {
    this.#isRunning = false;
    await this.#loops;
  }
}
