/** Parses the arguments. Throws an `Error` for the user when one is wrong. */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { isLanguage, type Language, languageOf } from './language.ts';

/** Connects to another address than the URL names: to a new proxy before the host name points to it, or in a test. */
export interface Detour {
  /** Port of the URLs to which this applies; `undefined` for every port. */
  readonly urlPort: number | undefined;
  readonly host: string;
  readonly port: number;
}

export interface DoctorOptions {
  readonly url: URL;
  /** Origin of the page that opens streams, such as `https://app.example.com`. */
  readonly origin: string | undefined;
  /** The page sends cookies (`withCredentials`). */
  readonly withCredentials: boolean;
  /** A JWT, sent as `Authorization: Bearer`, or a ticket, sent in the URL. */
  readonly token: string | undefined;
  /** User whose stream is opened. */
  readonly userId: string;
  readonly apiKey: string | undefined;
  /** URL for publishing, if not `url`. */
  readonly publishUrl: URL | undefined;
  readonly seconds: number;
  readonly detours: readonly Detour[];
  /** Trusted certificates, PEM. */
  readonly authorities: string | undefined;
  /** A process of the service on this machine. */
  readonly pid: number | undefined;
  readonly servicePort: number;
  readonly metricsPort: number;
  readonly isJson: boolean;
  readonly language: Language;
}

export const USAGE: Readonly<Record<Language, string>> = {
  en: `Usage: npm run doctor -- URL [OPTION …]

Connects to the service through its public URL, as a browser would, and reports what is wrong on the network path,
with the line to change for each problem. It opens a few streams for its own user and sends itself a few messages.

  --origin ORIGIN        origin of the page that opens streams, such as https://app.example.com: checks CORS
  --with-credentials     that page sends cookies
  --token TOKEN          JWT or ticket of a user, if streams require one
  --user ID              user whose stream is opened (needed with a ticket; a JWT names its user)
  --key KEY              API key for sending messages
  --publish-url URL      URL for sending messages, if the public URL refuses them: http://127.0.0.1:8089
  --seconds N            time for which a stream is watched (40): a longer time finds longer idle timeouts
  --connect [PORT:]HOST:PORT  address to connect to for URLs with that port; can be repeated
  --ca FILE              authority of the certificate, PEM
  --pid PID              process of the service on this machine: checks its limits
  --service-port PORT    SERVICE_PORT (8089), used to find that process
  --metrics-port PORT    METRICS_PORT (9090), which must not be public
  --json                 prints JSON for programs
  --lang en|zh           language (default from LC_ALL, LC_MESSAGES, LANG)

Exits with 0 when nothing is wrong, 1 when something is, 2 when the arguments are wrong.
`,
  zh: `用法：npm run doctor -- URL [选项 …]

像浏览器一样通过公网 URL 连接服务，找出链路上的问题，并给出需要修改的配置行。
doctor 以专用的用户建立几个连接，并向自己发送几条消息。

  --origin ORIGIN        建立连接的页面来源，例如 https://app.example.com：检查 CORS
  --with-credentials     该页面携带 Cookie
  --token TOKEN          用户的 JWT 或票据（建立连接需要认证时）
  --user ID              以该用户建立连接（使用票据时必填；JWT 中已含用户）
  --key KEY              用于发送消息的 API 密钥
  --publish-url URL      公网 URL 不接受发布时，改用该 URL 发布：http://127.0.0.1:8089
  --seconds N            观察连接的秒数（默认 40）：时间越长，越能发现较长的空闲超时
  --connect [PORT:]HOST:PORT  端口为 PORT 的 URL 改连到 HOST:PORT；可重复
  --ca FILE              CA 证书，PEM
  --pid PID              本机上的服务进程：检查其限制
  --service-port PORT    SERVICE_PORT（默认 8089），用于查找该进程
  --metrics-port PORT    METRICS_PORT（默认 9090），不应对外暴露
  --json                 以 JSON 输出，供程序使用
  --lang en|zh           语言（默认取自 LC_ALL、LC_MESSAGES、LANG）

没有问题时退出码为 0，有问题为 1，用法错误为 2。
`,
};

const MIN_SECONDS = 2;
const MAX_SECONDS = 3600;

/** Returns `undefined` when help was requested. */
export function parseOptions(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  randomId: () => string,
): DoctorOptions | undefined {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      origin: { type: 'string' },
      'with-credentials': { type: 'boolean', default: false },
      token: { type: 'string' },
      user: { type: 'string' },
      key: { type: 'string' },
      'publish-url': { type: 'string' },
      seconds: { type: 'string', default: '40' },
      connect: { type: 'string', multiple: true, default: [] },
      ca: { type: 'string' },
      pid: { type: 'string' },
      'service-port': { type: 'string', default: '8089' },
      'metrics-port': { type: 'string', default: '9090' },
      json: { type: 'boolean', default: false },
      lang: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) return undefined;
  const [url, ...others] = positionals;
  if (url === undefined) throw new Error('give the URL of the service, such as https://push.example.com');
  if (others.length > 0) throw new Error(`only one URL is allowed; also given: ${others.join(' ')}`);
  if (values.lang !== undefined && !isLanguage(values.lang)) throw new Error('--lang must be en or zh');
  return {
    url: urlOf(url, 'URL'),
    origin: values.origin === undefined ? undefined : originOf(values.origin),
    withCredentials: values['with-credentials'],
    token: values.token,
    userId: values.user ?? subjectOf(values.token) ?? `doctor-${randomId()}`,
    apiKey: values.key,
    publishUrl:
      values['publish-url'] === undefined ? undefined : urlOf(values['publish-url'], '--publish-url'),
    seconds: wholeNumber(values.seconds, '--seconds', MIN_SECONDS, MAX_SECONDS),
    detours: values.connect.map(detourOf),
    authorities: values.ca === undefined ? undefined : readFileSync(values.ca, 'utf8'),
    pid: values.pid === undefined ? undefined : wholeNumber(values.pid, '--pid', 1, 2 ** 22),
    servicePort: wholeNumber(values['service-port'], '--service-port', 1, 65_535),
    metricsPort: wholeNumber(values['metrics-port'], '--metrics-port', 1, 65_535),
    isJson: values.json,
    language: values.lang ?? languageOf(env),
  };
}

function urlOf(text: string, name: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw new Error(`${name} must start with https:// or http://; this is ${text}`);
  }
  url.search = '';
  url.hash = '';
  // A path before `/sse/` is the prefix of the service behind its proxy.
  url.pathname = url.pathname.replace(/\/+$/, '');
  return url;
}

function originOf(text: string): string {
  const { origin } = urlOf(text, '--origin');
  if (origin !== text.replace(/\/$/, ''))
    throw new Error(`--origin must be only scheme, host and port: ${origin}`);
  return origin;
}

function detourOf(text: string): Detour {
  const match = /^(?:(\d+):)?(\[[0-9a-f:.]+\]|[^:[\]]+):(\d+)$/i.exec(text);
  if (match === null) throw new Error(`--connect must be [PORT:]HOST:PORT; this is ${text}`);
  const [, urlPort, host = '', port = ''] = match;
  return {
    urlPort: urlPort === undefined ? undefined : wholeNumber(urlPort, '--connect', 1, 65_535),
    host: host.replace(/^\[|\]$/g, ''),
    port: wholeNumber(port, '--connect', 1, 65_535),
  };
}

function wholeNumber(text: string, name: string, from: number, to: number): number {
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (number >= from && number <= to) return number;
  throw new Error(`${name} must be a whole number from ${from} to ${to}; this is ${text}`);
}

/** Reads the subject of a JWT without verifying it, which the service does. */
function subjectOf(token: string | undefined): string | undefined {
  const payload = isJwt(token) ? token?.split('.')[1] : undefined;
  if (payload === undefined) return undefined;
  try {
    const { sub } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { sub?: unknown };
    return typeof sub === 'string' || typeof sub === 'number' ? String(sub) : undefined;
  } catch (cause) {
    throw new Error('--token looks like a JWT but cannot be read', { cause });
  }
}

export function isJwt(token: string | undefined): boolean {
  return token?.startsWith('eyJ') === true;
}
