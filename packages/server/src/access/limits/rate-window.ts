/**
 * The arithmetic of a rate limit. A window begins with a client's first request and admits as many requests as the
 * limit until it ends. A refused client never waits longer than one window, and in the long run no client exceeds its
 * limit; around the end of a window, up to twice the limit may pass within a short time.
 *
 * A pure function: the script of the shared store repeats the same arithmetic.
 */

export interface RateLimit {
  /** Requests in `windowMs`. */
  readonly limit: number;
  readonly windowMs: number;
}

/** The window of one client. */
export interface RateWindow {
  readonly endMs: number;
  readonly used: number;
}

export interface RateAnswer {
  readonly isAllowed: boolean;
  readonly remaining: number;
  /** Time until the window ends. */
  readonly resetMs: number;
}

/**
 * Takes `cost` from the limit at `nowMs`. A refused request is not counted, so that a cheaper one may still pass and
 * the headers report what is really left.
 */
export function takeFrom(
  known: RateWindow | undefined,
  { limit, windowMs }: RateLimit,
  cost: number,
  nowMs: number,
): { readonly window: RateWindow; readonly answer: RateAnswer } {
  const isOpen = known !== undefined && known.endMs > nowMs && known.endMs <= nowMs + windowMs;
  // A window that ends too far ahead is not open either: the clock was set back.
  const { endMs, used } = isOpen ? known : { endMs: nowMs + windowMs, used: 0 };
  const isAllowed = used + cost <= limit;
  const window = { endMs, used: isAllowed ? used + cost : used };
  return { window, answer: { isAllowed, remaining: limit - window.used, resetMs: endMs - nowMs } };
}
