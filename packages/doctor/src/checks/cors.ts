/** Checks whether pages of the given origin may open streams, and that pages of an unknown origin may not. */
import { type CheckOutcome, type Finding, made, skipped } from '../report.ts';
import type { Service, TextAnswer } from '../service.ts';

type Headers = TextAnswer['headers'];

/** [spec] RFC 2606: an origin that cannot exist. */
const STRANGER = 'https://doctor.invalid';
/** Headers that the SDK sends in addition to those of the browser. */
const SDK_HEADERS = 'authorization,last-event-id';

export async function checkCors(
  service: Service,
  origin: string | undefined,
  withCredentials: boolean,
): Promise<CheckOutcome> {
  if (origin === service.base.origin) return skipped('cors', 'same_origin');
  const findings: (Finding | undefined)[] = [await strangerProblem(service)];
  if (origin === undefined)
    return { ...skipped('cors', 'no_origin'), findings: findings.filter((f) => f !== undefined) };
  const stream = await service.openStream({ headers: { origin } }).catch((error: Error) => error);
  if (!(stream instanceof Error)) {
    stream.close();
    findings.push(
      originProblem(stream.answer.headers, origin, withCredentials) ?? varyProblem(stream.answer.headers),
    );
  }
  findings.push(await preflightProblem(service, origin));
  // A refused origin fails the preflight too; report it once.
  const isRefused = findings.some(
    (finding) => finding?.code === 'cors_refused' || finding?.code === 'cors_doubled',
  );
  return made(
    'cors',
    findings.filter((finding) => !(isRefused && finding?.code === 'cors_preflight')),
  );
}

async function strangerProblem(service: Service): Promise<Finding | undefined> {
  const stream = await service
    .openStream({ headers: { origin: STRANGER } })
    .catch((): undefined => undefined);
  if (stream === undefined) return undefined;
  stream.close();
  const { headers } = stream.answer;
  const isLetIn =
    headers['access-control-allow-origin'] === STRANGER &&
    headers['access-control-allow-credentials'] === 'true';
  return isLetIn ? { code: 'cors_any_origin', seen: { origin: STRANGER } } : undefined;
}

function originProblem(headers: Headers, origin: string, withCredentials: boolean): Finding | undefined {
  const allowed = headers['access-control-allow-origin'];
  if (allowed === undefined) return { code: 'cors_refused', seen: { origin, allowed: '–' } };
  // [spec] Fetch: a list is refused, even if its values are the same.
  if (allowed.includes(',')) return { code: 'cors_doubled', seen: { allowed } };
  if (allowed !== '*' && allowed !== origin) return { code: 'cors_refused', seen: { origin, allowed } };
  if (withCredentials && (allowed === '*' || headers['access-control-allow-credentials'] !== 'true')) {
    return { code: 'cors_credentials', seen: { origin } };
  }
  return undefined;
}

/** A cache must not serve the response for one origin to another. */
function varyProblem(headers: Headers): Finding | undefined {
  const allowed = headers['access-control-allow-origin'];
  const varies = (headers.vary ?? '').toLowerCase().split(/\s*,\s*/);
  if (allowed === '*' || varies.includes('origin') || varies.includes('*')) return undefined;
  return { code: 'cors_vary', seen: { vary: headers.vary ?? '–' } };
}

async function preflightProblem(service: Service, origin: string): Promise<Finding | undefined> {
  const path = `/sse/user/${encodeURIComponent(service.options.userId)}`;
  const answer = await service
    .get(path, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'GET',
        'access-control-request-headers': SDK_HEADERS,
      },
    })
    .catch((error: Error) => error);
  if (answer instanceof Error)
    return { code: 'cors_preflight', seen: { status: answer.message, missing: '–' } };
  const { status, headers } = answer;
  const listed = (headers['access-control-allow-headers'] ?? '').toLowerCase().split(/\s*,\s*/);
  const missing = SDK_HEADERS.split(',').filter((name) => !listed.includes(name));
  const isAllowed = headers['access-control-allow-origin'] !== undefined;
  if (status >= 200 && status < 300 && isAllowed && missing.length === 0) return undefined;
  return {
    code: 'cors_preflight',
    seen: { status, missing: missing.join(', ') || 'Access-Control-Allow-Origin' },
  };
}
