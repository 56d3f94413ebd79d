/** The request errors that every engine answers with, in the same words. */
import { RequestError } from '../core/errors.ts';

export function engineClosed(): RequestError {
  return new RequestError('engine_unavailable', 'the engine is closed', { retryAfterSeconds: 1 });
}

/** Refuses a publish because more bytes wait to be stored than `PUBLISH_QUEUE_MAX_BYTES` allows. */
export function engineOverloaded(queuedBytes: number, maxBytes: number): RequestError {
  return new RequestError(
    'engine_overloaded',
    `${queuedBytes} bytes are waiting to be stored; PUBLISH_QUEUE_MAX_BYTES allows ${maxBytes}`,
    { retryAfterSeconds: 1 },
  );
}

export function idConflict(id: string): RequestError {
  const problem = 'was already used for another message';
  return new RequestError('id_conflict', `id ${id} ${problem}`, {
    details: [{ field: 'id', problem, value: id }],
  });
}

/** Refuses because the store did not answer as it should. A cause that is a refusal already is returned as it is. */
export function engineUnavailable(what: string, cause: unknown): RequestError {
  if (cause instanceof RequestError) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new RequestError('engine_unavailable', `${what}: ${reason}`, { retryAfterSeconds: 1, cause });
}

/** Refuses because the store has no room left. */
export function storageFull(what: string, cause?: unknown): RequestError {
  return new RequestError('storage_full', what, { retryAfterSeconds: 5, cause });
}
