/**
 * Rate limits per client: an API key, a user or, without either, an address. API requests (publishing and all others)
 * and connects are counted separately, so that a crowd of reconnecting streams does not block publishers at the same
 * address.
 *
 * Only a credential identifies a client. A user that a URL merely names has no limit of their own, or anybody could use
 * it up; and the address of an authenticated client does not count, or a whole office would be one client.
 */
import { RequestError } from '../../core/errors.ts';
import type { Principal } from '../principal.ts';
import { addressGroup } from './address-group.ts';
import type { RateStore } from './rate-store.ts';
import type { RateAnswer, RateLimit } from './rate-window.ts';

/** `request` counts requests to the API, `connect` the opening of streams. */
export type RateKind = 'request' | 'connect';

export interface RateLimiterOptions {
  readonly store: RateStore;
  readonly perMinute: Readonly<Record<RateKind, number>>;
  readonly windowMs: number;
  /** Extra requests beyond the limit, available once in ten windows. */
  readonly burst: number;
}

export interface RateResult extends RateAnswer {
  readonly limit: number;
  readonly windowMs: number;
}

const MINUTE_MS = 60_000;
const BURST_WINDOWS = 10;

export class RateLimiter {
  readonly #store: RateStore;
  readonly #limits: Readonly<Record<RateKind, RateLimit>>;
  readonly #burst: RateLimit;

  constructor({ store, perMinute, windowMs, burst }: RateLimiterOptions) {
    this.#store = store;
    const limitOf = (rate: number): RateLimit => ({
      limit: Math.max(1, Math.round((rate * windowMs) / MINUTE_MS)),
      windowMs,
    });
    this.#limits = { request: limitOf(perMinute.request), connect: limitOf(perMinute.connect) };
    this.#burst = { limit: burst, windowMs: windowMs * BURST_WINDOWS };
  }

  /** `principal` is `undefined` when the credential was refused. Such a request counts against its address. */
  take(
    kind: RateKind,
    principal: Principal | undefined,
    clientIp: string,
    cost = 1,
  ): RateResult | Promise<RateResult> {
    const client = `${kind}:${clientOf(principal, clientIp)}`;
    const limit = this.#limits[kind];
    const answer = this.#store.take(client, limit, cost);
    return answer instanceof Promise
      ? answer.then((later) => this.#settle(client, limit, cost, later))
      : this.#settle(client, limit, cost, answer);
  }

  #settle(
    client: string,
    limit: RateLimit,
    cost: number,
    answer: RateAnswer,
  ): RateResult | Promise<RateResult> {
    if (answer.isAllowed || this.#burst.limit === 0) return { ...limit, ...answer };
    const beyond = this.#store.take(`burst:${client}`, this.#burst, cost);
    const merge = ({ isAllowed }: RateAnswer): RateResult => ({ ...limit, ...answer, isAllowed });
    return beyond instanceof Promise ? beyond.then(merge) : merge(beyond);
  }
}

function clientOf(principal: Principal | undefined, clientIp: string): string {
  if (principal?.kind === 'key' || principal?.userId !== undefined) return principal.name;
  return `address:${addressGroup(clientIp)}`;
}

const SECOND_MS = 1000;

/**
 * Headers for every response to a counted request, by lower-case name: the three that clients commonly read, and the
 * two of the IETF draft that replaces them (draft-ietf-httpapi-ratelimit-headers-10).
 */
export function rateHeaders({
  limit,
  windowMs,
  remaining,
  resetMs,
  isAllowed,
}: RateResult): Record<string, string> {
  const reset = seconds(resetMs);
  return {
    'ratelimit-limit': String(limit),
    'ratelimit-remaining': String(remaining),
    'ratelimit-reset': String(reset),
    'ratelimit-policy': `"default";q=${limit};w=${seconds(windowMs)}`,
    ratelimit: `"default";r=${remaining};t=${reset}`,
    ...(isAllowed ? {} : { 'retry-after': String(reset) }),
  };
}

export function rateError({ limit, windowMs, resetMs }: RateResult): RequestError {
  return new RequestError(
    'too_many_requests',
    `more than ${limit} requests within ${seconds(windowMs)} s; retry in ${seconds(resetMs)} s`,
    { retryAfterSeconds: seconds(resetMs) },
  );
}

/** Rounds up, so that a client that returns then is let in. */
function seconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / SECOND_MS));
}
