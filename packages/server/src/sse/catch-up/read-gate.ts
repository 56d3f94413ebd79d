/** Lets a limited number of reads of history go on at once. The others wait, and start in the order they came. */
export class ReadGate {
  readonly #limit: number;
  #running = 0;
  #waiting: (() => Promise<void>)[] = [];
  #next = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** `read` must not reject. */
  run(read: () => Promise<void>): void {
    if (this.#running < this.#limit) this.#start(read);
    else this.#waiting.push(read);
  }

  #start(read: () => Promise<void>): void {
    this.#running++;
    void read().finally(() => {
      this.#running--;
      const next = this.#waiting[this.#next];
      if (next === undefined) return;
      if (++this.#next === this.#waiting.length) {
        this.#waiting = [];
        this.#next = 0;
      }
      this.#start(next);
    });
  }
}
