/**
 * A publisher that knows several nodes: every attempt of a batch goes to a random one, with the same ids, until all of
 * it is acknowledged at the level that it asks for.
 */
import { Agent } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { type Answer, request } from '../http/http.ts';
import type { MessageBody } from '../messages/publisher.ts';
import type { Random } from '../random.ts';

export interface FleetPublisherOptions {
  /** Base URLs of the nodes. */
  readonly urls: readonly string[];
  readonly random: Random;
  readonly ack?: 'replicated';
  readonly isStopped: () => boolean;
}

export interface PublishedAnswer {
  readonly success: boolean;
  readonly message_id: string;
  readonly timestamp: string;
  readonly ack: string;
  readonly repeated?: boolean;
  readonly code?: string;
}

const RETRY_MS = 20;
const GIVE_UP_MS = 90_000;
/** Error codes after which `PROTOCOL.md` allows the same request again. */
const MAY_PASS: ReadonlySet<string | undefined> = new Set([
  'engine_unavailable',
  'engine_overloaded',
  'not_replicated',
  'draining',
  'storage_full',
]);

export class FleetPublisher {
  /** Requests without an answer, or with one that asks to retry. */
  retries = 0;
  /** The retried requests that were answered, with 502, 503 or 504. */
  refusals = 0;
  /** Messages that were answered as repeats. */
  repeats = 0;
  /** The longest time until a batch was acknowledged. */
  longestMs = 0;
  readonly #options: FleetPublisherOptions;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(options: FleetPublisherOptions) {
    this.#options = options;
  }

  /**
   * Calls `onAcknowledged` for every acknowledged message, even when others of its batch must be sent again. Resolves
   * with the answers, or with `undefined` when it is stopped between two attempts. With `url` it uses that node only.
   */
  async publish(
    bodies: readonly MessageBody[],
    onAcknowledged: (body: MessageBody) => void,
    url?: string,
  ): Promise<readonly PublishedAnswer[] | undefined> {
    const { urls, random, isStopped } = this.#options;
    const startedMs = performance.now();
    for (;;) {
      const answers = await this.#try(url ?? random.pick(urls), bodies);
      for (const [i, body] of bodies.entries()) if (answers?.[i]?.success === true) onAcknowledged(body);
      const waitedMs = performance.now() - startedMs;
      if (answers?.every((answer) => answer.success) === true) {
        this.longestMs = Math.max(this.longestMs, waitedMs);
        this.repeats += answers.filter((answer) => answer.repeated === true).length;
        return answers;
      }
      if (isStopped()) return undefined;
      if (waitedMs > GIVE_UP_MS) throw new Error(`a batch was not acknowledged in ${GIVE_UP_MS} ms`);
      this.retries++;
      await delay(RETRY_MS);
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  /** `undefined` when there was no answer, or when the whole batch may be sent again. */
  async #try(url: string, bodies: readonly MessageBody[]): Promise<readonly PublishedAnswer[] | undefined> {
    const { ack } = this.#options;
    const path = `/sse/api/v1/messages/batch${ack === undefined ? '' : `?ack=${ack}`}`;
    let answer: Answer;
    try {
      answer = await request(url + path, { body: bodies, agent: this.#agent, timeoutMs: 15_000 });
    } catch (error) {
      // Refused, reset or cut off: nobody knows whether it was stored, which is why messages have ids.
      if (error instanceof Error) return undefined;
      throw error;
    }
    // A proxy answers 502 or 504 for a node that does not answer.
    if ([502, 503, 504].includes(answer.status)) {
      this.refusals++;
      return undefined;
    }
    if (answer.status !== 200) throw new Error(`a batch was answered with ${answer.status}: ${answer.text}`);
    const { results } = JSON.parse(answer.text) as { results: PublishedAnswer[] };
    if (results.length !== bodies.length)
      throw new Error(`${results.length} results for ${bodies.length} messages`);
    for (const [i, result] of results.entries()) {
      const isWrong = result.success
        ? result.message_id !== bodies[i]?.id || (ack !== undefined && result.ack !== ack)
        : !MAY_PASS.has(result.code);
      if (isWrong) throw new Error(`message ${bodies[i]?.id} was answered with ${JSON.stringify(result)}`);
    }
    return results;
  }
}
