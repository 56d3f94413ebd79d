/**
 * Registers the service at a gateway, and repeats that at an interval, so that a restarted gateway learns of the
 * service again. An unreachable or refusing gateway is retried with growing delays, and never keeps the service from
 * starting, serving or stopping. The service does not deregister: gateways find out through the health URL.
 */
import { unescape as decodePercents } from 'node:querystring';
import { fetchBounded } from '../access/fetch-bounded.ts';
import type { Log } from '../observe/log/log.ts';
import { redactUrl } from '../observe/log/redact.ts';

export interface GatewayRegistrarOptions {
  /** The configured URL, possibly with credentials. */
  readonly url: string;
  readonly body: string;
  /** Time between a success and the next registration; `undefined` when one success is enough. */
  readonly intervalMs: number | undefined;
  readonly log: Pick<Log, 'debug' | 'info' | 'warn'>;
  readonly random: () => number;
  /** Timeout of one attempt. */
  readonly timeoutMs?: number;
  readonly firstRetryMs?: number;
}

const TIMEOUT_MS = 5000;
const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 60_000;
/** Bound on the response body, which is not used. */
const MAX_ANSWER_BYTES = 64 * 1024;

export class GatewayRegistrar {
  readonly #options: GatewayRegistrarOptions;
  readonly #url: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #stopping = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #hasRegistered = false;
  #failures = 0;

  constructor(options: GatewayRegistrarOptions) {
    this.#options = options;
    const { url, authorization } = withoutCredentials(options.url);
    this.#url = url;
    this.#headers = {
      'content-type': 'application/json',
      ...(authorization !== undefined && { authorization }),
    };
  }

  start(): void {
    void this.#register();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#stopping.abort();
  }

  async #register(): Promise<void> {
    const { intervalMs, random, firstRetryMs = FIRST_RETRY_MS } = this.#options;
    const failure = await this.#send();
    if (this.#stopping.signal.aborted) return;
    if (failure !== undefined) {
      this.#failed(failure);
      const longestMs = Math.min(LONGEST_RETRY_MS, firstRetryMs * 2 ** Math.min(this.#failures - 1, 10));
      // Jitter keeps services that lost the same gateway from retrying in step.
      this.#again(longestMs * (0.5 + random() / 2));
      return;
    }
    this.#succeeded();
    if (intervalMs !== undefined) this.#again(intervalMs * (0.9 + random() / 5));
  }

  #again(delayMs: number): void {
    this.#timer = setTimeout(() => void this.#register(), delayMs).unref();
  }

  /** Resolves with the reason of a failure; `undefined` on success. */
  async #send(): Promise<string | undefined> {
    const { body, timeoutMs = TIMEOUT_MS } = this.#options;
    const signal = AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(timeoutMs)]);
    try {
      const init = { method: 'POST', headers: this.#headers, body, signal };
      const { status } = await fetchBounded(this.#url, init, MAX_ANSWER_BYTES);
      return status >= 200 && status < 300 ? undefined : `it answered ${status}`;
    } catch (error) {
      return reasonOf(error);
    }
  }

  #failed(reason: string): void {
    this.#failures++;
    // An outage is logged once, not for each attempt.
    this.#options.log[this.#failures === 1 ? 'warn' : 'debug'](
      { url: this.#url, reason, attempt: this.#failures },
      'the gateway did not accept the registration; the service keeps running and tries again',
    );
  }

  #succeeded(): void {
    const failures = this.#failures;
    const isNews = !this.#hasRegistered || failures > 0;
    this.#failures = 0;
    this.#hasRegistered = true;
    this.#options.log[isNews ? 'info' : 'debug'](
      { url: this.#url, ...(failures > 0 && { failedAttempts: failures }) },
      'registered at the gateway',
    );
  }
}

/** Moves the credentials of a URL into a header, because `fetch` refuses URLs with credentials. */
function withoutCredentials(text: string): { url: string; authorization: string | undefined } {
  const url = new URL(text);
  const { username, password } = url;
  if (username === '' && password === '') return { url: text, authorization: undefined };
  url.username = '';
  url.password = '';
  const pair = `${decodePercents(username)}:${decodePercents(password)}`;
  return { url: url.href, authorization: `Basic ${Buffer.from(pair).toString('base64')}` };
}

function reasonOf(error: unknown): string {
  // The message of `fetch` says only that it failed; the cause says why.
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  if (!(cause instanceof Error)) return redactUrl(String(cause));
  // The message is empty when a host has several addresses and all of them refused.
  const { code } = cause as NodeJS.ErrnoException;
  return redactUrl(cause.message || code || cause.name);
}
