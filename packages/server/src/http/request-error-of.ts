/** Maps what Fastify and Node report about a request to the catalogue of request errors. */
import { RequestError, validationFailed } from '../core/errors.ts';
import { type SchemaFinding, schemaProblems } from '../publish/schema-problems.ts';

interface ReportedError {
  readonly code?: string;
  readonly statusCode?: number;
  readonly message?: string;
  readonly validation?: readonly SchemaFinding[];
  readonly validationContext?: string;
}

/** The names of the parts of a URL in the path of a field. */
const ROOTS: Readonly<Record<string, string>> = { querystring: 'query', params: 'path' };

/** Anything unknown is a fault of the service: `internal_error`, with the cause kept for the log. */
export function requestErrorOf(error: unknown): RequestError {
  if (error instanceof RequestError) return error;
  const reported = (typeof error === 'object' && error !== null ? error : {}) as ReportedError;
  if (reported.validation !== undefined) {
    return validationFailed(
      schemaProblems(reported.validation, ROOTS[reported.validationContext ?? ''] ?? ''),
    );
  }
  switch (reported.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new RequestError('message_too_large', 'the body is larger than allowed', {
        cause: error,
      });
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new RequestError('unsupported_media_type', 'the Content-Type cannot be read', { cause: error });
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return new RequestError('malformed_request', 'the body is shorter or longer than its Content-Length', {
        cause: error,
      });
    case 'FST_ERR_BAD_URL':
      return new RequestError('malformed_request', 'the URL has a malformed percent-encoding', {
        cause: error,
      });
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return new RequestError('malformed_request', 'a part of the URL is too long', { cause: error });
    case 'HPE_HEADER_OVERFLOW':
      return new RequestError('headers_too_large', 'the request line and headers are larger than allowed', {
        cause: error,
      });
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new RequestError('request_timeout', 'the request did not arrive in time', { cause: error });
    default:
  }
  const status = reported.statusCode ?? 500;
  if (status >= 400 && status < 500) {
    return new RequestError(
      status === 404 ? 'not_found' : 'malformed_request',
      reported.message ?? 'bad request',
      {
        cause: error,
      },
    );
  }
  return new RequestError('internal_error', 'an internal error occurred', { cause: error });
}

/** The error for what Node's HTTP parser rejects before there is a request. */
export function requestErrorOfParser(error: Error & { code?: string }): RequestError {
  const known = requestErrorOf(error);
  return known.code === 'internal_error'
    ? new RequestError('malformed_request', 'the request is not valid HTTP', { cause: error })
    : known;
}
