/** Reaches the service: checks its name, certificate, redirects and HTTP/2, and whether it is reachable without TLS. */
import { exchange, type Protocol, portOf, textOf, type Way } from '../exchange.ts';
import { type CheckOutcome, type Finding, made } from '../report.ts';
import { urlAt } from '../service.ts';

export interface Reached {
  /** URL to which redirects led. */
  readonly base: URL;
  readonly protocol: Protocol;
}

const PROBE_PATH = '/sse/health/live';
const PROBE_QUERY = '?doctor=1';
const MAX_REDIRECTS = 5;
const HTTPS_PORT = 443;

/** Resolves with a finding when the service cannot be reached. */
export async function reach(way: Way, url: URL): Promise<Reached | Finding> {
  let base = url;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const answer = await exchange(way, probeAt(base)).catch((error: Error) => error);
    if (answer instanceof Error) {
      return { code: 'unreachable', seen: { url: base.href, reason: describe(answer) } };
    }
    const { status, headers, protocol } = answer;
    answer.close();
    if (status < 300 || status >= 400 || headers.location === undefined) return { base, protocol };
    const target = redirectTarget(headers.location, base);
    if (target === undefined) {
      return { code: 'redirect_lost', seen: { from: probeAt(base).href, to: headers.location } };
    }
    base = target;
  }
  return { code: 'unreachable', seen: { url: url.href, reason: 'too many redirects' } };
}

export async function checkTransport(
  way: Way,
  { base, protocol }: Reached,
  isPublic: boolean,
): Promise<CheckOutcome> {
  if (base.protocol === 'http:') {
    return made('transport', [isPublic ? { code: 'plain_http', seen: { url: base.href } } : undefined]);
  }
  return made('transport', [
    protocol === 'HTTP/2' ? undefined : { code: 'no_http2', seen: { protocol } },
    await servedInTheClear(way, base),
  ]);
}

/** Checks the same host over `http://`, if the URL uses the default port. */
async function servedInTheClear(way: Way, base: URL): Promise<Finding | undefined> {
  if (portOf(base) !== HTTPS_PORT) return undefined;
  const plain = new URL(base);
  plain.protocol = 'http:';
  // No response on port 80 is fine.
  const answer = await exchange(way, probeAt(plain), { timeoutMs: 3000 }).catch(() => undefined);
  if (answer === undefined) return undefined;
  const { status, headers } = answer;
  const text = await textOf(answer).catch(() => '');
  if (status >= 300 && status < 400 && headers.location !== undefined) {
    if (redirectTarget(headers.location, plain)?.protocol === 'https:') return undefined;
    return { code: 'redirect_lost', seen: { from: probeAt(plain).href, to: headers.location } };
  }
  if (status !== 200 || !text.includes('"alive"')) return undefined;
  return { code: 'plain_http', seen: { url: plain.href } };
}

function probeAt(base: URL): URL {
  const url = urlAt(base, PROBE_PATH);
  url.search = PROBE_QUERY;
  return url;
}

/** Returns the base URL to which a redirect of the probe leads; `undefined` when it loses the path or the query. */
function redirectTarget(location: string, base: URL): URL | undefined {
  const to = URL.canParse(location, probeAt(base).href) ? new URL(location, probeAt(base)) : undefined;
  if (to === undefined || !to.pathname.endsWith(PROBE_PATH) || to.search !== PROBE_QUERY) return undefined;
  to.pathname = to.pathname.slice(0, -PROBE_PATH.length);
  to.search = '';
  return to;
}

function describe(error: Error): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === undefined || message.includes(code) ? message : `${code}: ${message}`;
}
