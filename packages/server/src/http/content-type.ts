/** How the body of a request may be labelled. */
import { RequestError } from '../core/errors.ts';

const JSON_TYPE = /^application\/json[ \t]*(?:;[ \t]*charset[ \t]*=[ \t]*"?utf-?8"?[ \t]*)?;?$/i;
const OTHER_CHARSET = /^application\/json[ \t]*;/i;

/** Why a body with these headers is not taken for JSON, or `undefined` if it is. A body without a type is. */
export function contentTypeError(
  contentType: string | undefined,
  contentEncoding: string | undefined,
): RequestError | undefined {
  // What nearly every publisher sends, on the way of every publish.
  if (contentType === 'application/json' && contentEncoding === undefined) return undefined;
  const type = contentType?.trim();
  const encoding = contentEncoding?.trim().toLowerCase();
  if (encoding !== undefined && encoding !== '' && encoding !== 'identity') {
    return new RequestError('unsupported_media_type', 'Content-Encoding is not supported: send plain JSON');
  }
  if (type === undefined || type === '' || JSON_TYPE.test(type)) return undefined;
  const problem = OTHER_CHARSET.test(type)
    ? 'only JSON in UTF-8 is accepted'
    : 'the body must be JSON: send the header "Content-Type: application/json"';
  return new RequestError('unsupported_media_type', problem);
}
