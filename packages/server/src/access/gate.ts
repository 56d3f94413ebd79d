/**
 * The way in for every request and every stream: who asks, and whether that one may ask again so soon. Whoever is let
 * in may still not do what he asks for; that is in `decisions.ts`.
 *
 * Answers come at once where they can, so that a publish with an API key, counted in memory, waits for nothing. A
 * refused credential is counted too, for its address: otherwise guessing would be free.
 */
import { RequestError } from '../core/errors.ts';
import type { StreamCredential } from '../core/stream-credential.ts';
import type { Authorizer, RequestParts } from './authorizer.ts';
import type { RateResult } from './limits/rate-limiter.ts';
import { type RateKind, type RateLimiter, rateError } from './limits/rate-limiter.ts';
import type { Principal } from './principal.ts';

export interface GateOptions {
  readonly authorizer: Pick<Authorizer, 'isOn' | 'authenticate'>;
  /** undefined: nothing is counted. */
  readonly limiter: Pick<RateLimiter, 'take'> | undefined;
}

/** `rate`: for the answer's headers, where requests are counted. */
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

  /** Nobody is asked for anything and nothing is counted. */
  get isOpen(): boolean {
    return !this.#options.authorizer.isOn && this.#options.limiter === undefined;
  }

  /** Rejects for faults of ours alone. */
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

/** Too many requests is said first: whoever guesses learns nothing beyond his limit. */
function answerFor(who: Principal | RequestError, rate: RateResult | undefined): GateAnswer {
  if (rate !== undefined && !rate.isAllowed) return { error: rateError(rate), rate };
  return who instanceof RequestError ? { error: who, rate } : { principal: who, rate };
}

function asRefusal(error: unknown): RequestError {
  if (error instanceof RequestError) return error;
  throw error;
}

/** What a stream keeps of its principal; nothing where none was proved. */
export function streamCredentialOf(principal: Principal): StreamCredential | undefined {
  if (principal.kind === 'anonymous') return undefined;
  const { name, userId, tokenId, parentTokenIds, issuedAtMs, expiresAtMs } = principal;
  return { name, userId, tokenId, parentTokenIds, issuedAtMs, expiresAtMs };
}
