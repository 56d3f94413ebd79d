/** Asks workers for their metrics. A worker that does not answer in time is left out of the scrape. */
import type { FromWorker, ToWorker } from './worker-messages.ts';

type Scraped = Extract<FromWorker, { type: 'scraped' }>;

export interface ScrapedWorker {
  send(message: ToWorker): void;
}

export class WorkerMetrics {
  readonly #timeoutMs: number;
  readonly #waiting = new Map<number, (text: string) => void>();
  #lastId = 0;

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /** Resolves with `undefined` when no answer came in time. */
  scrape(worker: ScrapedWorker): Promise<string | undefined> {
    const id = ++this.#lastId;
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        resolve(undefined);
      }, this.#timeoutMs);
      this.#waiting.set(id, (text) => {
        clearTimeout(timer);
        this.#waiting.delete(id);
        resolve(text);
      });
      worker.send({ type: 'scrape', id });
    });
  }

  take({ id, text }: Scraped): void {
    this.#waiting.get(id)?.(text);
  }
}
