/**
 * Publishes in turns: some publishes at once, then all of their answers, then the next turn. Some turns are under way
 * together, as in a service with many publishers.
 */

/** Starts the publishes of one turn; resolves when all are answered. */
export type Turn = (publishes: number) => Promise<unknown>;

export interface TurnPlan {
  readonly publishes: number;
  /** Turns under way at once. */
  readonly underWay: number;
  /** Turns a second; undefined: as many as there can be. */
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
    // `stop` tells of a failure.
    this.#loops.catch(() => undefined);
  }

  /** Resolves when everything that was sent is answered; rejects when a turn has failed. */
  async stop(): Promise<void> {
    this.#isRunning = false;
    await this.#loops;
  }
}
