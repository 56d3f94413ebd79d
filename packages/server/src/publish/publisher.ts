/**
 * The publish stage: from the bytes of a body to a durable message and the answer for its publisher. It knows no
 * HTTP, no sessions and no frames; whoever takes a body from a socket calls `handle`.
 *
 * Guarantees: an answer means that the engine has stored what it names; a `RequestError` means that this call
 * stored nothing that its publisher is told of. The messages of a batch are handed to the engine in their order
 * within one turn, so that they share a group commit.
 */
import type { Audience } from '../core/directory.ts';
import type { Engine } from '../core/engine.ts';
import { ERROR_KINDS, RequestError, validationFailed } from '../core/errors.ts';
import type { Draft, Receipt } from '../core/message.ts';
import { hasSuspiciousNumber, parseExactly } from './exact-numbers.ts';
import { isoTime } from './iso-time.ts';
import { findJsonProblem } from './json-problems.ts';
import { parseJson } from './parse-json.ts';
import { type MessageInput, readMessage } from './read-message.ts';

export type PublishKind = 'send' | 'broadcast' | 'batch';

export interface PublishAnswer {
  readonly status: 200;
  /** JSON text. */
  readonly json: string;
}

/** Told of each message, for counting and logging. Must not throw. */
export interface PublishObserver {
  onPublished(draft: Draft, receipt: Receipt): void;
  /** Not published. Anything but a `RequestError` is a fault of ours. */
  onFailed(error: unknown): void;
}

export interface PublisherOptions {
  readonly engine: Pick<Engine, 'publish'>;
  readonly audience: Audience;
  readonly serviceName: string;
  readonly messageTtlMs: number;
  /** Levels of arrays and objects in a message, the message itself being the first. */
  readonly maxJsonDepth: number;
  readonly maxMessageBytes: number;
  readonly maxBatchBytes: number;
  readonly maxBatchSize: number;
  readonly now: () => number;
  readonly observer?: PublishObserver;
}

export class Publisher {
  readonly #options: PublisherOptions;

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  /**
   * Rejects with a `RequestError`. The messages of a batch fail one by one, in the answer; the batch as a whole
   * rejects when it is no array of messages, or when the engine could take none of them.
   */
  async handle(kind: PublishKind, body: Uint8Array): Promise<PublishAnswer> {
    if (kind === 'batch') return { status: 200, json: await this.#publishBatch(body) };
    try {
      return { status: 200, json: publishedJson(await this.#publish(this.#readSingle(kind, body))) };
    } catch (error) {
      this.#options.observer?.onFailed(error);
      throw error;
    }
  }

  #readSingle(kind: 'send' | 'broadcast', body: Uint8Array): Draft {
    const { maxJsonDepth, maxMessageBytes, now } = this.#options;
    checkSize(body, maxMessageBytes, 'MAX_MESSAGE_SIZE');
    const { text, value } = parseJson(body);
    const problem = findJsonProblem(value, maxJsonDepth, '');
    if (problem !== undefined) throw validationFailed([problem.detail]);
    const exact = hasSuspiciousNumber(text) ? parseExactly(text) : value;
    return readMessage(kind, { value, exact, root: '', nowMs: now() }, this.#options);
  }

  async #publish(draft: Draft): Promise<Published> {
    const { engine, audience, observer } = this.#options;
    const receipt = await engine.publish(draft);
    observer?.onPublished(draft, receipt);
    const { channels, exclude } = draft.message;
    return { receipt, sentTo: audience.countStreams(channels, exclude) };
  }

  async #publishBatch(body: Uint8Array): Promise<string> {
    const inputs = this.#readBatch(body);
    const outcomes = await Promise.all(inputs.map((input) => this.#publishItem(input)));
    // When nothing was stored and all of it may be repeated, that is the answer for the whole request.
    const first = outcomes[0];
    if (first instanceof Failure && outcomes.every(isOutage)) throw first.error;
    return batchJson(outcomes);
  }

  #readBatch(body: Uint8Array): (MessageInput | RequestError)[] {
    const { maxBatchBytes, maxBatchSize, maxJsonDepth, now } = this.#options;
    checkSize(body, maxBatchBytes, 'MAX_BATCH_BYTES');
    const { text, value } = parseJson(body);
    if (!Array.isArray(value)) {
      throw validationFailed([{ field: 'body', problem: 'must be a JSON array of messages' }]);
    }
    if (value.length === 0 || value.length > maxBatchSize) {
      const problem = `must have 1 to ${maxBatchSize} messages (MAX_BATCH_SIZE)`;
      throw validationFailed([{ field: 'body', problem, value: `array of ${value.length}` }]);
    }
    const problems = value.map((item, i) => findJsonProblem(item, maxJsonDepth, `[${i}]`));
    let exact: unknown[] = value;
    if (hasSuspiciousNumber(text)) {
      // Reading numbers exactly recurses over the whole text, so here one item's depth concerns all of them.
      const tooDeep = problems.find((problem) => problem?.isTooDeep);
      if (tooDeep !== undefined) throw validationFailed([tooDeep.detail]);
      exact = parseExactly(text) as unknown[];
    }
    const nowMs = now();
    return value.map((item, i) => {
      const problem = problems[i];
      if (problem !== undefined) return validationFailed([problem.detail]);
      return { value: item, exact: exact[i], root: `[${i}]`, nowMs };
    });
  }

  async #publishItem(input: MessageInput | RequestError): Promise<Outcome> {
    const { maxMessageBytes, observer } = this.#options;
    try {
      if (input instanceof RequestError) throw input;
      const draft = readMessage('send', input, this.#options);
      checkSize(draft.message.json, maxMessageBytes, 'MAX_MESSAGE_SIZE');
      return await this.#publish(draft);
    } catch (error) {
      observer?.onFailed(error);
      return new Failure(error);
    }
  }
}

interface Published {
  readonly receipt: Receipt;
  /** Streams that are open on the message's channels now. */
  readonly sentTo: number;
}

class Failure {
  readonly error: unknown;

  constructor(error: unknown) {
    this.error = error;
  }
}

type Outcome = Published | Failure;

function isOutage(outcome: Outcome): boolean {
  return (
    outcome instanceof Failure &&
    outcome.error instanceof RequestError &&
    ERROR_KINDS[outcome.error.code].retry
  );
}

function checkSize(bytes: Uint8Array, maxBytes: number, variable: string): void {
  if (bytes.byteLength <= maxBytes) return;
  const message = `the message has ${bytes.byteLength} bytes; at most ${maxBytes} are allowed (${variable})`;
  throw new RequestError('message_too_large', message);
}

/** Written by hand: this is on the way of every publish, and its parts are known to need no escaping but the id. */
function publishedJson({ receipt, sentTo }: Published): string {
  return (
    `{"success":true,"message_id":${JSON.stringify(receipt.messageId)},"sent_to_connections":${sentTo},` +
    `"timestamp":"${isoTime(receipt.timeMs)}","ack":"${receipt.ack}"` +
    `${receipt.isRepeat ? ',"repeated":true' : ''}}`
  );
}

function batchJson(outcomes: readonly Outcome[]): string {
  const failedCount = outcomes.filter((outcome) => outcome instanceof Failure).length;
  const results = outcomes.map((outcome) =>
    outcome instanceof Failure ? failureJson(outcome.error) : publishedJson(outcome),
  );
  return (
    `{"success":${failedCount === 0},"total_messages":${outcomes.length},` +
    `"successful_count":${outcomes.length - failedCount},"failed_count":${failedCount},` +
    `"results":[${results.join()}]}`
  );
}

function failureJson(error: unknown): string {
  const known = error instanceof RequestError;
  return JSON.stringify({
    success: false,
    error: known ? error.message : 'an internal error occurred',
    code: known ? error.code : 'internal_error',
    ...(known && error.details !== undefined ? { details: error.details } : {}),
  });
}
