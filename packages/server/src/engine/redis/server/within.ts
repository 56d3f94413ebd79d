import { ConnectionError } from './redis-errors.ts';

/** Waits for a promise for at most so long, then rejects with `problem`. */
export async function within(ms: number, promise: Promise<void>, problem: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  try {
    await Promise.race([
      promise,
      new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new ConnectionError(problem)), ms);
      }),
    ]);
  } finally {
    clearTimeout(timer);
  }
}
