/** The check of a JSON body before it is read. */
import type { IncomingHttpHeaders } from 'node:http';
import { contentTypeError } from '../content-type.ts';

/**
 * Throws if the body is labelled as something other than JSON. Call it in `onRequest`.
 *
 * [Fastify] Ignores a body with neither a type nor a length, and HTTP/2 requires neither. Such a request is given the
 * type.
 */
export function expectJson(headers: IncomingHttpHeaders): void {
  const error = contentTypeError(headers['content-type'], headers['content-encoding']);
  if (error !== undefined) throw error;
  headers['content-type'] ||= 'application/json';
}
