/**
 * The publish stage: turns the bytes of a body into a durable message and the answer for its publisher. It knows
 * nothing of HTTP, sessions and frames; the lanes call `handle`.
 *
 * Guarantees: an answer means that the engine has stored what it names, at the level that it names. A `RequestError`
 * means that this call acknowledges nothing, except for `not_replicated`, which says that the message is stored. The
 * messages of a batch are handed to the engine in their order within one turn, so that they share a group commit.
 */
import type { Audience } from '../core/directory.ts';
import type { Engine } from '../core/engine.ts';
import { ERROR_KINDS, RequestError, validationFailed } from '../core/errors.ts';
import type { AckLevel, Draft, PublishKind, Receipt } from '../core/message.ts';
import type { TraceFields } from '../observe/tracing/trace-context.ts';
import type { PublishTrace, Tracer } from '../observe/tracing/tracer.ts';
import { ackOfQuery } from './ack-level.ts';
import { hasSuspiciousNumber, parseExactly } from './exact-numbers.ts';
import { isoTime } from './iso-time.ts';
import { findJsonProblem } from './json-problems.ts';
import { parseJson } from './parse-json.ts';
import { type MessageDefaults, type MessageInput, readMessage } from './read-message.ts';

/** Throws a `RequestError` if the publisher may not publish to all channels of a message. */
export type DemandChannels = (channels: readonly string[]) => void;

/** A publish as its request holds it. */
export interface PublishRequest {
  readonly kind: PublishKind;
  /** JSON text, not validated yet. */
  readonly body: Uint8Array;
  /** `ack` of the request's query: the level of messages that name none themselves. */
  readonly queryAck?: string | undefined;
  /** Asked about each message with a target. Whether its sender may broadcast is for the caller to ask. */
  readonly demand?: DemandChannels | undefined;
  /** The trace that the request names; it counts while tracing is on. */
  readonly caller?: TraceFields | undefined;
}

/** Called for each message, for counting and logging. Must not throw. */
export interface PublishObserver {
  onPublished(draft: Draft, receipt: Receipt): void;
  /** The message was not published. Anything but a `RequestError` is a fault of the service. */
  onFailed(error: unknown): void;
}

export interface PublisherOptions {
  readonly engine: Pick<Engine, 'publish'>;
  readonly audience: Audience;
  readonly serviceName: string;
  readonly messageTtlMs: number;
  /** Levels of arrays and objects in a message. The message itself is the first. */
  readonly maxJsonDepth: number;
  readonly maxMessageBytes: number;
  readonly maxBatchBytes: number;
  readonly maxBatchSize: number;
  /** The level of publishes that name none. Default: `stored`. */
  readonly ackLevel?: AckLevel;
  /** The levels that the engine offers. Default: only `stored`, which every engine offers. */
  readonly ackLevels?: readonly AckLevel[];
  readonly now: () => number;
  readonly observer?: PublishObserver;
  /** Absent when tracing is off. */
  readonly tracer?: Pick<Tracer, 'startPublish'> | undefined;
}

export class Publisher {
  readonly #options: PublisherOptions;
  readonly #ackLevel: AckLevel;
  readonly #defaults: MessageDefaults;

  constructor(options: PublisherOptions) {
    const { serviceName, messageTtlMs, ackLevel = 'stored', ackLevels = ['stored'] } = options;
    this.#options = options;
    this.#ackLevel = ackLevel;
    this.#defaults = { serviceName, messageTtlMs, ackLevels };
  }

  /**
   * Resolves with the answer as JSON text; rejects with a `RequestError`. The messages of a batch fail one by one, in
   * the answer. The batch as a whole rejects if it is not an array of messages, or if the engine took none of them.
   */
  async handle(request: PublishRequest): Promise<string> {
    const { kind, demand } = request;
    const trace = this.#options.tracer?.startPublish(kind, request.caller);
    if (kind === 'batch') return this.#answerBatch(request, trace);
    try {
      const draft = this.#readSingle(kind, request, trace);
      if (kind === 'send') demand?.(draft.message.channels);
      const json = publishedJson(await this.#publish(draft, trace));
      trace?.end(1);
      return json;
    } catch (error) {
      this.#options.observer?.onFailed(error);
      trace?.end(1, error);
      throw error;
    }
  }

  async #answerBatch(
    { body, queryAck, demand }: PublishRequest,
    trace: PublishTrace | undefined,
  ): Promise<string> {
    let messages = 0;
    try {
      const inputs = this.#readBatch(body, this.#ackOf(queryAck), trace);
      messages = inputs.length;
      const json = await this.#publishBatch(inputs, demand, trace);
      trace?.end(messages);
      return json;
    } catch (error) {
      trace?.end(messages, error);
      throw error;
    }
  }

  #readSingle(
    kind: 'send' | 'broadcast',
    { body, queryAck }: PublishRequest,
    trace: PublishTrace | undefined,
  ): Draft {
    const { maxJsonDepth, maxMessageBytes, now } = this.#options;
    const ack = this.#ackOf(queryAck);
    checkSize(body, maxMessageBytes, 'MAX_MESSAGE_SIZE');
    const { text, value } = parseJson(body);
    const problem = findJsonProblem(value, maxJsonDepth, '');
    if (problem !== undefined) throw validationFailed([problem.detail]);
    const exact = hasSuspiciousNumber(text) ? parseExactly(text) : value;
    return readMessage(kind, { value, exact, root: '', ack, nowMs: now(), trace }, this.#defaults);
  }

  #ackOf(queryAck: string | undefined): AckLevel {
    return ackOfQuery(queryAck, this.#ackLevel, this.#defaults.ackLevels);
  }

  async #publish(draft: Draft, trace: PublishTrace | undefined): Promise<Published> {
    const { engine, audience, observer } = this.#options;
    const receipt = await (trace === undefined ? engine.publish(draft) : this.#store(draft, trace));
    observer?.onPublished(draft, receipt);
    const count = audience.countStreams(receipt, draft.message);
    return { receipt, sentTo: typeof count === 'number' ? count : await count };
  }

  async #store(draft: Draft, trace: PublishTrace): Promise<Receipt> {
    const store = trace.startStore(draft);
    try {
      const receipt = await this.#options.engine.publish(draft);
      store?.stored(receipt);
      return receipt;
    } catch (error) {
      store?.failed(error);
      throw error;
    }
  }

  async #publishBatch(
    inputs: readonly (MessageInput | RequestError)[],
    demand: DemandChannels | undefined,
    trace: PublishTrace | undefined,
  ): Promise<string> {
    const outcomes = await Promise.all(inputs.map((input) => this.#publishItem(input, demand, trace)));
    // If every message failed and may be repeated, the whole request gets that answer.
    const first = outcomes[0];
    if (first instanceof Failure && outcomes.every(isOutage)) throw first.error;
    return batchJson(outcomes);
  }

  #readBatch(
    body: Uint8Array,
    ack: AckLevel,
    trace: PublishTrace | undefined,
  ): (MessageInput | RequestError)[] {
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
      // Reading numbers exactly recurses over the whole text, so one item that is too deep refuses all of them.
      const tooDeep = problems.find((problem) => problem?.isTooDeep);
      if (tooDeep !== undefined) throw validationFailed([tooDeep.detail]);
      exact = parseExactly(text) as unknown[];
    }
    const nowMs = now();
    return value.map((item, i) => {
      const problem = problems[i];
      if (problem !== undefined) return validationFailed([problem.detail]);
      return { value: item, exact: exact[i], root: `[${i}]`, ack, nowMs, trace };
    });
  }

  async #publishItem(
    input: MessageInput | RequestError,
    demand: DemandChannels | undefined,
    trace: PublishTrace | undefined,
  ): Promise<Outcome> {
    const { maxMessageBytes, observer } = this.#options;
    try {
      if (input instanceof RequestError) throw input;
      const draft = readMessage('send', input, this.#defaults);
      checkSize(draft.message.json, maxMessageBytes, 'MAX_MESSAGE_SIZE');
      demand?.(draft.message.channels);
      return await this.#publish(draft, trace);
    } catch (error) {
      observer?.onFailed(error);
      return new Failure(error);
    }
  }
}

interface Published {
  readonly receipt: Receipt;
  /** Streams that are open on the channels of the message now, on all nodes. */
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
  const message = `${bytes.byteLength} bytes are too many: at most ${maxBytes} are allowed (${variable})`;
  throw new RequestError('message_too_large', message);
}

/** Written by hand, because every publish needs it, and only the id may need escaping. */
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
