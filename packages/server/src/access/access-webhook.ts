/**
 * Asks the application whether a user may join channels. Anything but a clear yes refuses: another status, a malformed
 * answer, a timeout, too many requests in flight. Answers are cached for a short time, so that a reconnecting user does
 * not cause another request, and identical requests in flight are merged into one.
 */
import { RequestError } from '../core/errors.ts';
import { BoundedCache } from './bounded-cache.ts';
import { ChannelSet, patternsProblem } from './channel-set.ts';
import { fetchBounded } from './fetch-bounded.ts';

export interface AccessWebhookOptions {
  readonly url: string;
  /** Sent as `Authorization: Bearer`, so that the application can authenticate this service. */
  readonly secret: string | undefined;
  readonly timeoutMs: number;
  /** 0 disables the cache. */
  readonly cacheMs: number;
  readonly now: () => number;
  /** Called for each request that got no usable answer. */
  readonly onError: (error: Error) => void;
  readonly fetch?: typeof fetchBounded;
}

export interface AccessAnswer {
  readonly isAllowed: boolean;
  /** The channels that may be joined; `undefined` stands for all that were asked for. */
  readonly channels: ChannelSet | undefined;
}

export interface AccessQuestion {
  readonly userId: string | undefined;
  readonly channels: readonly string[];
  readonly clientIp: string;
}

const MAX_ANSWER_BYTES = 64 * 1024;
const MAX_CACHED = 10_000;
const MAX_UNDER_WAY = 1000;

export class AccessWebhook {
  readonly #options: AccessWebhookOptions;
  readonly #cache: BoundedCache<AccessAnswer>;
  readonly #underWay = new Map<string, Promise<AccessAnswer>>();

  constructor(options: AccessWebhookOptions) {
    this.#options = options;
    this.#cache = new BoundedCache(MAX_CACHED, options.now);
  }

  /** Rejects with `authorization_unavailable`. */
  ask(question: AccessQuestion): AccessAnswer | Promise<AccessAnswer> {
    const body = JSON.stringify({
      user_id: question.userId ?? null,
      channels: question.channels,
      client_ip: question.clientIp,
    });
    const known = this.#cache.get(body) ?? this.#underWay.get(body);
    if (known !== undefined) return known;
    if (this.#underWay.size >= MAX_UNDER_WAY) {
      return Promise.reject(this.#unavailable(new Error(`${MAX_UNDER_WAY} requests are in flight`)));
    }
    const asked = this.#send(body).finally(() => this.#underWay.delete(body));
    this.#underWay.set(body, asked);
    return asked;
  }

  async #send(body: string): Promise<AccessAnswer> {
    const { url, secret, timeoutMs, cacheMs, fetch = fetchBounded } = this.#options;
    let answer: AccessAnswer;
    try {
      const { status, text } = await fetch(
        url,
        {
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            ...(secret === undefined ? {} : { authorization: `Bearer ${secret}` }),
          },
          body,
          signal: AbortSignal.timeout(timeoutMs),
        },
        MAX_ANSWER_BYTES,
      );
      if (status !== 200) throw new Error(`the answer has status ${status}, not 200`);
      answer = readAnswer(text);
    } catch (cause) {
      throw this.#unavailable(cause as Error);
    }
    if (cacheMs > 0) this.#cache.set(body, answer, cacheMs);
    return answer;
  }

  #unavailable(cause: Error): RequestError {
    this.#options.onError(new Error(`AUTH_WEBHOOK_URL gave no usable answer: ${cause.message}`, { cause }));
    const message = 'authorization cannot be checked right now';
    return new RequestError('authorization_unavailable', message, { cause, retryAfterSeconds: 1 });
  }
}

/** Reads `{allow: false}`, `{allow: true}` for all channels asked for, or `{allow: true, channels: [patterns]}`. */
function readAnswer(text: string): AccessAnswer {
  const answer: unknown = JSON.parse(text);
  if (typeof answer !== 'object' || answer === null) throw new Error('the answer is not a JSON object');
  const { allow, channels } = answer as { readonly allow?: unknown; readonly channels?: unknown };
  if (typeof allow !== 'boolean') throw new Error('allow in the answer is neither true nor false');
  if (channels === undefined || channels === null) return { isAllowed: allow, channels: undefined };
  const problem = patternsProblem(channels);
  if (problem !== undefined) throw new Error(`channels in the answer ${problem}`);
  return { isAllowed: allow, channels: ChannelSet.ofPatterns(channels as string[]) };
}
