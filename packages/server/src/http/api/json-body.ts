/** Routes whose body is JSON: what Fastify has to be told, and what is refused before the body is read. */
import type { IncomingHttpHeaders } from 'node:http';
import { contentTypeError } from '../content-type.ts';

/**
 * Throws if the body is labelled as something else than JSON. To be called in `onRequest`.
 *
 * [Fastify] A body with neither a type nor a length, which HTTP/2 does not ask for, would not be read: a body without
 * a type is given one.
 */
export function expectJson(headers: IncomingHttpHeaders): void {
  const error = contentTypeError(headers['content-type'], headers['content-encoding']);
  if (error !== undefined) throw error;
  headers['content-type'] ||= 'application/json';
}
