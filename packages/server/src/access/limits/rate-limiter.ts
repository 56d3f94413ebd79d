/**
 * Who may ask how often: one client is an API key, a user, or where neither is proved an address. Publishing (and
 * every other request to the API) and connecting are counted apart, so that a crowd which reconnects does not stop
 * publishers of the same address.
 *
 * A client is what its credential proves. A user that a URL merely names is nobody's limit, or one could use up
 * another's; and behind a proved client its address does not count, or an office would be one client.
 */
import { RequestError } from '../../core/errors.ts';
import type { Principal } from '../principal.ts';
import { addressGroup } from './address-group.ts';
import type { RateStore } from './rate-store.ts';
import type { RateAnswer, RateLimit } from './rate-window.ts';

/** `request`: to the API. `connect`: of a stream. */
export type RateKind = 'request' | 'connect';

export interface RateLimiterOptions {
  readonly store: RateStore;
  readonly perMinute: Readonly<Record<RateKind, number>>;
  readonly windowMs: number;
  /** Beyond the limit, once in ten windows. */
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

  /** `principal`: undefined where the credential was refused; such requests count for their address. */
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
 * For every answer to a counted request, by lower-case name: the three names that clients know, and the two of the
 * IETF draft (draft-ietf-httpapi-ratelimit-headers-10) that replace them.
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
    `more than ${limit} requests within ${seconds(windowMs)} s; the next one may come in ${seconds(resetMs)} s`,
    { retryAfterSeconds: seconds(resetMs) },
  );
}

/** Rounded up: who comes back then is let in. */
function seconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / SECOND_MS));
}
