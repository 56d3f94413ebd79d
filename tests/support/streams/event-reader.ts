/** Reads a stream with `eventsource-parser`, the parser that most programs outside of browsers use. */
import { createParser } from 'eventsource-parser';

export interface ReceivedEvent {
  /** Event name; `message` when the stream named none. */
  readonly type: string;
  readonly data: string;
  /** The last event id at the time of this event. */
  readonly lastEventId: string;
}

export class EventReader {
  readonly events: ReceivedEvent[] = [];
  readonly #abort = new AbortController();
  readonly #waiting = new Set<() => void>();
  readonly #finished: Promise<void>;
  #failure: unknown;

  private constructor(response: Response, abort: AbortController) {
    this.#abort = abort;
    this.#finished = this.#read(response).catch((error: unknown) => {
      this.#failure = error;
      this.#wake();
    });
  }

  /** Resolves when the stream is open: everything that is published from then on arrives. */
  static async open(url: string, headers: Readonly<Record<string, string>> = {}): Promise<EventReader> {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(new Error(`${url} did not answer in time`)), 10_000);
    const response = await fetch(url, { signal: abort.signal, headers });
    clearTimeout(timer);
    if (response.status !== 200) throw new Error(`GET ${url}: ${response.status} ${await response.text()}`);
    const reader = new EventReader(response, abort);
    await reader.until((event) => JSON.parse(event.data).type === 'connection');
    return reader;
  }

  /** The first event that fits, received or still to come. */
  until(fits: (event: ReceivedEvent) => boolean, timeoutMs = 30_000): Promise<ReceivedEvent> {
    return new Promise((resolve, reject) => {
      let next = 0;
      const finish = (act: () => void): void => {
        clearTimeout(timer);
        this.#waiting.delete(check);
        act();
      };
      const check = (): void => {
        while (next < this.events.length) {
          const event = this.events[next++] as ReceivedEvent;
          if (fits(event)) {
            finish(() => resolve(event));
            return;
          }
        }
        if (this.#failure !== undefined) finish(() => reject(this.#failure));
      };
      const timer = setTimeout(() => {
        const seen = `${this.events.length} events, the last ${JSON.stringify(this.events.at(-1))?.slice(0, 300)}`;
        finish(() =>
          reject(new Error(`the awaited event did not come in ${timeoutMs} ms; there were ${seen}`)),
        );
      }, timeoutMs);
      this.#waiting.add(check);
      check();
    });
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.#finished;
  }

  async #read(response: Response): Promise<void> {
    let lastEventId = '';
    const parser = createParser({
      onEvent: ({ event = 'message', data, id }) => {
        lastEventId = id ?? lastEventId;
        this.events.push({ type: event, data, lastEventId });
      },
      onError: (error) => {
        this.#failure = error;
      },
    });
    const decoder = new TextDecoder();
    for await (const chunk of response.body as ReadableStream<Uint8Array>) {
      parser.feed(decoder.decode(chunk, { stream: true }));
      this.#wake();
    }
    throw new Error('the stream ended');
  }

  #wake(): void {
    for (const check of this.#waiting) check();
  }
}
