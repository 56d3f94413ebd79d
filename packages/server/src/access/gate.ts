/**
 * The entry point for every request and every stream: authentication, then rate limiting. What the admitted principal
 * may do is decided in `decisions.ts`.
 *
 * Answers are synchronous where possible, so that a publish with an API key and counters in memory does not wait. A
 * request with a refused credential counts against the limit of its address; otherwise guessing would be free.
 */
import { RequestError } from '../core/errors.ts';
import type { StreamCredential } from '../core/stream-credential.ts';
import type { Authorizer, RequestParts } from './authorizer.ts';
import type { RateResult } from './limits/rate-limiter.ts';
import { type RateKind, type RateLimiter, rateError } from './limits/rate-limiter.ts';
import type { Principal } from './principal.ts';

export interface GateOptions {
  readonly authorizer: Pick<Authorizer, 'isOn' | 'authenticate'>;
  /** `undefined` when rate limiting is off. */
  readonly limiter: Pick<RateLimiter, 'take'> | undefined;
}

/** `rate` fills the response's headers; it is absent when rate limiting is off. */
export type GateAnswer = Admitted | Refused;

export interface Admitted {
  readonly principal: Principal;
  readonly error?: undefined;
  readonly rate: RateResult | undefined;
}

export interface Refused {
  readonly principal?: undefined;
  readonly error: RequestError;
  readonly rate: RateResult | undefined;
}

export class Gate {
  readonly #options: GateOptions;

  constructor(options: GateOptions) {
    this.#options = options;
  }

  /** Neither authentication nor rate limiting is enabled. */
  get isOpen(): boolean {
    return !this.#options.authorizer.isOn && this.#options.limiter === undefined;
  }

  /** A refusal is an answer. Throws or rejects only for faults of the service itself. */
  ask(kind: RateKind, request: RequestParts, clientIp: string): GateAnswer | Promise<GateAnswer> {
    const who = this.#authenticate(request);
    return who instanceof Promise
      ? who.then((later) => this.#count(kind, later, clientIp))
      : this.#count(kind, who, clientIp);
  }

  #authenticate(request: RequestParts): Principal | RequestError | Promise<Principal | RequestError> {
    try {
      const principal = this.#options.authorizer.authenticate(request);
      return principal instanceof Promise ? principal.catch(asRefusal) : principal;
    } catch (error) {
      return asRefusal(error);
    }
  }

  #count(kind: RateKind, who: Principal | RequestError, clientIp: string): GateAnswer | Promise<GateAnswer> {
    const { limiter } = this.#options;
    if (limiter === undefined) return answerFor(who, undefined);
    const rate = limiter.take(kind, who instanceof RequestError ? undefined : who, clientIp);
    return rate instanceof Promise ? rate.then((later) => answerFor(who, later)) : answerFor(who, rate);
  }
}

/** The rate limit is reported first, so that a guess beyond the limit reveals nothing about the credential. */
function answerFor(who: Principal | RequestError, rate: RateResult | undefined): GateAnswer {
  if (rate !== undefined && !rate.isAllowed) return { error: rateError(rate), rate };
  return who instanceof RequestError ? { error: who, rate } : { principal: who, rate };
}

function asRefusal(error: unknown): RequestError {
  if (error instanceof RequestError) return error;
  throw error;
}

/** The part of a principal that a stream keeps; `undefined` for anonymous streams. */
export function streamCredentialOf(principal: Principal): StreamCredential | undefined {
  if (principal.kind === 'anonymous') return undefined;
  const { name, userId, tokenId, parentTokenIds, issuedAtMs, expiresAtMs } = principal;
  return { name, userId, tokenId, parentTokenIds, issuedAtMs, expiresAtMs };
}
