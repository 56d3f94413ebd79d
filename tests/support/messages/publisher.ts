/**
 * A careful publisher: it keeps its connection, sets ids, and repeats a request with the same ids until it is answered.
 */
import { Agent } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { type Answer, request } from '../http/http.ts';

export interface MessageBody {
  readonly id?: string;
  readonly type: string;
  readonly service: string;
  readonly target?: Readonly<Record<string, string>>;
  readonly data: object;
  readonly ttl?: number;
}

interface PublishedAnswer {
  readonly success: boolean;
  readonly message_id: string;
  readonly repeated?: boolean;
  readonly code?: string;
  readonly error?: string;
}

interface BatchAnswer {
  readonly successful_count: number;
  readonly failed_count: number;
  readonly results: readonly PublishedAnswer[];
}

const RETRY_MS = 20;
const GIVE_UP_MS = 30_000;

export class TestPublisher {
  /** Requests without an answer, or with one that asks to retry. */
  retries = 0;
  /** Messages that were answered as repeats. */
  repeats = 0;
  readonly #url: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  constructor(url: string) {
    this.#url = url;
  }

  send(body: MessageBody, timeoutMs = 10_000): Promise<Answer> {
    return this.#post('send', body, timeoutMs);
  }

  broadcast(body: MessageBody, timeoutMs = 10_000): Promise<Answer> {
    return this.#post('broadcast', body, timeoutMs);
  }

  batch(bodies: readonly MessageBody[], timeoutMs = 10_000): Promise<Answer> {
    return this.#post('batch', bodies, timeoutMs);
  }

  /** Resolves with true when all are acknowledged, with false when `isStopped` ends it between two attempts. */
  async batchUntilAcknowledged(
    bodies: readonly MessageBody[],
    isStopped: () => boolean = () => false,
  ): Promise<boolean> {
    const deadlineMs = performance.now() + GIVE_UP_MS;
    for (;;) {
      if (await this.#tryBatch(bodies)) return true;
      if (isStopped()) return false;
      if (performance.now() > deadlineMs) throw new Error(`a batch was not acknowledged in ${GIVE_UP_MS} ms`);
      this.retries++;
      await delay(RETRY_MS);
    }
  }

  /** True when all are acknowledged, false without an answer or when some may be sent again. */
  async #tryBatch(bodies: readonly MessageBody[]): Promise<boolean> {
    let answer: Answer;
    try {
      answer = await this.batch(bodies);
    } catch (error) {
      // Refused, reset or cut off: nobody knows whether it was stored, which is why messages have ids.
      if (error instanceof Error) return false;
      throw error;
    }
    if (answer.status === 503) return false;
    if (answer.status !== 200) throw new Error(`batch was answered with ${answer.status}: ${answer.text}`);
    const { results } = JSON.parse(answer.text) as BatchAnswer;
    const failed = results.filter((r) => !r.success);
    const refused = failed.find((r) => !/^(engine_|storage_full)/.test(r.code ?? ''));
    if (refused !== undefined) throw new Error(`a message was refused: ${JSON.stringify(refused)}`);
    if (failed.length > 0) return false;
    this.repeats += results.filter((r) => r.repeated === true).length;
    return true;
  }

  close(): void {
    this.#agent.destroy();
  }

  #post(kind: string, body: object, timeoutMs: number): Promise<Answer> {
    return request(`${this.#url}/sse/api/v1/messages/${kind}`, { body, agent: this.#agent, timeoutMs });
  }
}
