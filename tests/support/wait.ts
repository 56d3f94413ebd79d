/** Waits for conditions by polling, bounded in time, with a message that says what did not happen. */
import { setTimeout as delay } from 'node:timers/promises';

export interface WaitOptions {
  readonly timeoutMs?: number;
  readonly pollMs?: number;
  /** Details for the message when the time is up. */
  readonly describe?: () => string;
}

/** Resolves with the first value of `probe` that is not undefined, false or null. */
export async function waitFor<T>(
  what: string,
  probe: () => T | undefined | false | null | Promise<T | undefined | false | null>,
  { timeoutMs = 15_000, pollMs = 10, describe }: WaitOptions = {},
): Promise<T> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false && value !== null) return value;
    if (performance.now() > deadlineMs) {
      const detail = describe === undefined ? '' : `; ${describe()}`;
      throw new Error(`${what} did not happen within ${timeoutMs} ms${detail}`);
    }
    await delay(pollMs);
  }
}

/** Like `waitFor`, but fails only when `progress` has not changed for `stillMs`. */
export async function waitWhileMoving(
  what: string,
  isDone: () => boolean,
  progress: () => number,
  { stillMs = 20_000, describe }: { stillMs?: number; describe?: () => string } = {},
): Promise<void> {
  let last = progress();
  let sinceMs = performance.now();
  while (!isDone()) {
    const now = progress();
    if (now !== last) {
      last = now;
      sinceMs = performance.now();
    } else if (performance.now() - sinceMs > stillMs) {
      throw new Error(`${what}: nothing has moved for ${stillMs} ms; ${describe?.() ?? `at ${now}`}`);
    }
    await delay(20);
  }
}

/** Rejects when `promise` takes longer than `timeoutMs`. */
export async function within<T>(what: string, timeoutMs: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
