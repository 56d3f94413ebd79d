/**
 * The catalogue of request errors, which are the only errors that pass from one stage to another.
 * `http/error-response.ts` alone turns them into answers.
 *
 * The code is a stable word that clients may test for. `retry` says whether the same request may succeed later.
 */

interface ErrorKind {
  readonly status: number;
  readonly retry: boolean;
}

export const ERROR_KINDS = {
  malformed_json: { status: 400, retry: false },
  malformed_request: { status: 400, retry: false },
  unauthorized: { status: 401, retry: false },
  forbidden: { status: 403, retry: false },
  not_found: { status: 404, retry: false },
  connection_not_found: { status: 404, retry: false },
  method_not_allowed: { status: 405, retry: false },
  request_timeout: { status: 408, retry: true },
  /** The message id was used before, for another body. */
  id_conflict: { status: 409, retry: false },
  /** A process takes one profile at a time. */
  profile_running: { status: 409, retry: true },
  /** The store makes one backup at a time. */
  backup_under_way: { status: 409, retry: true },
  /** Messages are kept in Redis: there is no store here to look after. */
  no_embedded_store: { status: 409, retry: false },
  message_too_large: { status: 413, retry: false },
  expectation_failed: { status: 417, retry: false },
  unsupported_media_type: { status: 415, retry: false },
  validation_failed: { status: 422, retry: false },
  too_many_requests: { status: 429, retry: true },
  headers_too_large: { status: 431, retry: false },
  internal_error: { status: 500, retry: true },
  /** What decides about access (an issuer's keys, the application) does not answer. */
  authorization_unavailable: { status: 503, retry: true },
  engine_unavailable: { status: 503, retry: true },
  storage_full: { status: 503, retry: true },
  /** The message is stored, but too few replicas have confirmed it. A repeat with its id asks them again. */
  not_replicated: { status: 503, retry: true },
  /** Too many publishes wait for the engine. */
  engine_overloaded: { status: 503, retry: true },
  draining: { status: 503, retry: true },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERROR_KINDS;

/** One thing that is wrong with a request. */
export interface FieldProblem {
  /** Path of the field in the body or the URL, such as `target.user_id`, `query.since` or `[3].type`. */
  readonly field: string;
  /** What is wrong and what is allowed, as the rest of a sentence, such as `must be one of …`. */
  readonly problem: string;
  /** The value that was sent, shortened. */
  readonly value?: unknown;
}

export class RequestError extends Error {
  readonly code: ErrorCode;
  readonly details: readonly FieldProblem[] | undefined;
  /** Seconds after which a retry makes sense. Sent as `Retry-After`. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: { details?: readonly FieldProblem[]; retryAfterSeconds?: number; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'RequestError';
    this.code = code;
    this.details = options.details;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }

  get status(): number {
    return ERROR_KINDS[this.code].status;
  }
}

const MAX_SHOWN_CHARS = 80;

/** Shortens a value for an error message. Objects and arrays are never shown whole. */
export function shownValue(value: unknown): unknown {
  if (typeof value === 'string') {
    const wellFormed = value.toWellFormed();
    return wellFormed.length > MAX_SHOWN_CHARS ? `${wellFormed.slice(0, MAX_SHOWN_CHARS)}…` : wellFormed;
  }
  if (Array.isArray(value)) return `array of ${value.length}`;
  if (typeof value === 'object' && value !== null) return 'object';
  return value;
}

/** Makes a `validation_failed` whose message names every field, so that a log needs no details. */
export function validationFailed(details: readonly FieldProblem[]): RequestError {
  const text = details.map((d) => `${d.field} ${d.problem}`).join('; ');
  return new RequestError('validation_failed', text, { details });
}
