/** Counts the publishes in progress, so that a stopping process can wait for their answers. */
import { atMost } from '../core/at-most.ts';
import type { Publisher, PublishRequest } from './publisher.ts';

export class CountedPublisher implements Pick<Publisher, 'handle'> {
  readonly #publisher: Pick<Publisher, 'handle'>;
  #inProgress = 0;
  #onSettled: (() => void) | undefined;

  constructor(publisher: Pick<Publisher, 'handle'>) {
    this.#publisher = publisher;
  }

  async handle(request: PublishRequest): Promise<string> {
    this.#inProgress++;
    try {
      return await this.#publisher.handle(request);
    } finally {
      if (--this.#inProgress === 0) this.#onSettled?.();
    }
  }

  /** Resolves when no publish is in progress, at the latest after `timeoutMs`. */
  async settled(timeoutMs: number): Promise<void> {
    if (this.#inProgress === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onSettled = resolve;
    await atMost(promise, timeoutMs);
  }
}
