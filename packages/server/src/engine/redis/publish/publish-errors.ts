/** Errors of publishers that only this engine has. */
import { RequestError } from '../../../core/errors.ts';
import { engineUnavailable, storageFull } from '../../refusals.ts';
import { ReplyError } from '../server/redis-errors.ts';

export function notReplicated(replicas: number, wanted: number, timeoutMs: number): RequestError {
  return new RequestError(
    'not_replicated',
    `the message is stored, but ${replicas} of ${wanted} replicas (ACK_REPLICAS) confirmed it within ${timeoutMs} ms; send it again with the same id`,
    { retryAfterSeconds: 1 },
  );
}

/** The error for publishers whose call failed. */
export function publishError(error: unknown): unknown {
  const { message } = error as Error;
  if (error instanceof ReplyError && /\bOOM\b/.test(message)) {
    return storageFull(`Redis has no memory left (maxmemory): ${message}`, error);
  }
  return engineUnavailable('the message could not be stored', error);
}
