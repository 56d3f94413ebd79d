/**
 * How much of a limit is used: a window begins with a client's first request and lets through as many as the limit
 * says until it ends. Whoever is refused never waits longer than a window, and over a long time no client gets more
 * than its limit; across the end of one window up to twice as much may pass in a short time.
 *
 * A pure function of values: a shared store's script does the same arithmetic.
 */

export interface RateLimit {
  /** Requests in `windowMs`. */
  readonly limit: number;
  readonly windowMs: number;
}

/** Of one client. */
export interface RateWindow {
  readonly endMs: number;
  readonly used: number;
}

export interface RateAnswer {
  readonly isAllowed: boolean;
  readonly remaining: number;
  /** Until the window ends. */
  readonly resetMs: number;
}

/**
 * Asks for `cost` at `nowMs`. What is refused is not counted: a request that costs less may still pass, and what is
 * left is what the headers say.
 */
export function takeFrom(
  known: RateWindow | undefined,
  { limit, windowMs }: RateLimit,
  cost: number,
  nowMs: number,
): { readonly window: RateWindow; readonly answer: RateAnswer } {
  const isOpen = known !== undefined && known.endMs > nowMs && known.endMs <= nowMs + windowMs;
  // Not open either: a window that ends later than one can. The clock was set back.
  const { endMs, used } = isOpen ? known : { endMs: nowMs + windowMs, used: 0 };
  const isAllowed = used + cost <= limit;
  const window = { endMs, used: isAllowed ? used + cost : used };
  return { window, answer: { isAllowed, remaining: limit - window.used, resetMs: endMs - nowMs } };
}
