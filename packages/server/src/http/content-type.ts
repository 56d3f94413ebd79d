/** What a publisher's body may be labelled as. */
import type { IncomingHttpHeaders } from 'node:http';
import { RequestError } from '../core/errors.ts';

const JSON_TYPE = /^application\/json[ \t]*(?:;[ \t]*charset[ \t]*=[ \t]*"?utf-?8"?[ \t]*)?;?$/i;
const OTHER_CHARSET = /^application\/json[ \t]*;/i;

/** Why a body with these headers is not taken for JSON, or `undefined` when it is. Without a type it is. */
export function contentTypeError(headers: IncomingHttpHeaders): RequestError | undefined {
  const type = headers['content-type']?.trim();
  const encoding = headers['content-encoding']?.trim().toLowerCase();
  if (encoding !== undefined && encoding !== '' && encoding !== 'identity') {
    return new RequestError('unsupported_media_type', 'Content-Encoding is not supported: send plain JSON');
  }
  if (type === undefined || type === '' || JSON_TYPE.test(type)) return undefined;
  const problem = OTHER_CHARSET.test(type)
    ? 'JSON is taken in UTF-8 only'
    : 'the body must be JSON: send the header "Content-Type: application/json"';
  return new RequestError('unsupported_media_type', problem);
}
