/**
 * The catalogue of findings: the meaning of each in both languages, and the lines to change. `{name}` is replaced by an
 * observed value. A `problem` makes the doctor exit with status 1; a `notice` is only worth a look.
 */
import type { Language } from './language.ts';

type Words = Readonly<Record<Language, string>>;

export interface FindingKind {
  readonly severity: 'problem' | 'notice';
  readonly title: Words;
  /** The observation and its consequence. */
  readonly text: Words;
  readonly fixes: readonly Fix[];
}

interface Fix {
  readonly where: keyof typeof PLACES;
  /** The line to write there. */
  readonly line: string;
}

export const PLACES = {
  streams_location: { en: 'nginx, location of the streams', zh: 'nginx，SSE 连接的 location' },
  nginx_server: { en: 'nginx, server', zh: 'nginx，server 块' },
  plain_server: { en: 'nginx, server of port 80', zh: 'nginx，80 端口的 server 块' },
  api_location: { en: 'nginx, location /sse/api/', zh: 'nginx，location /sse/api/' },
  metrics_location: { en: 'nginx, locations of the metrics', zh: 'nginx，指标的 location' },
  health_location: { en: 'nginx, location = /sse/health', zh: 'nginx，location = /sse/health' },
  service: { en: 'environment of the service', zh: '服务的环境变量' },
  systemd: { en: 'systemd unit of the service', zh: '服务的 systemd 单元' },
  compose: { en: 'docker-compose.yml, the service', zh: 'docker-compose.yml，该服务' },
  shell: { en: 'shell', zh: '终端' },
  doctor: { en: 'arguments of doctor', zh: 'doctor 的参数' },
  sysctl: {
    en: '/etc/sysctl.d/60-message-push-service.conf',
    zh: '/etc/sysctl.d/60-message-push-service.conf',
  },
} as const satisfies Record<string, Words>;

export const FINDINGS = {
  unreachable: {
    severity: 'problem',
    title: { en: 'The service cannot be reached', zh: '连不上服务' },
    text: { en: '{url}: {reason}', zh: '{url}：{reason}' },
    fixes: [
      { where: 'shell', line: 'scripts/status.sh --health' },
      { where: 'shell', line: 'nginx -t && systemctl status nginx' },
    ],
  },
  redirect_lost: {
    severity: 'problem',
    title: { en: 'A redirect loses path or query', zh: '重定向丢失了路径或查询参数' },
    text: {
      en: '{from} is redirected to {to}. A stream that follows this redirect joins no channel.',
      zh: '{from} 被重定向到 {to}，由此建立的连接订阅不到任何频道。',
    },
    fixes: [{ where: 'plain_server', line: 'return 308 https://$host$request_uri;' }],
  },
  plain_http: {
    severity: 'problem',
    title: { en: 'The service is reachable without encryption', zh: '服务可通过明文 HTTP 访问' },
    text: {
      en: '{url} answers without TLS: anybody on the path can read messages and tokens, and a browser opens at most six streams.',
      zh: '{url} 未使用 TLS：链路上任何人都能读取消息和令牌，且浏览器最多只能建立六个连接。',
    },
    fixes: [{ where: 'plain_server', line: 'return 308 https://$host$request_uri;' }],
  },
  no_http2: {
    severity: 'problem',
    title: { en: 'No HTTP/2: at most six streams per browser', zh: '未启用 HTTP/2：每个浏览器最多六个连接' },
    text: {
      en: 'The proxy supports only {protocol}. A browser opens at most six connections to an origin, so the seventh tab waits forever.',
      zh: '代理只支持 {protocol}。浏览器对同一来源最多建立六个连接，因此第七个标签页会一直等待。',
    },
    fixes: [
      { where: 'nginx_server', line: 'http2 on;' },
      { where: 'nginx_server', line: 'listen 443 ssl http2;  # before nginx 1.25.1' },
    ],
  },
  not_the_service: {
    severity: 'problem',
    title: { en: 'The response is not a stream of the service', zh: '返回的不是本服务的事件流' },
    text: {
      en: 'Status {status}, type {type}, from {by}: {message}',
      zh: '状态码 {status}，类型 {type}，来自 {by}：{message}',
    },
    fixes: [{ where: 'nginx_server', line: 'location /sse/ { proxy_pass http://message_push_backend; }' }],
  },
  bad_gateway: {
    severity: 'problem',
    title: { en: 'The proxy does not reach the service', zh: '代理连不上服务' },
    text: { en: 'Status {status} from {by}: {message}', zh: '{by} 返回 {status}：{message}' },
    fixes: [
      { where: 'nginx_server', line: 'upstream message_push_backend { server 127.0.0.1:8089; }' },
      { where: 'shell', line: 'scripts/status.sh --health' },
    ],
  },
  unauthorized: {
    severity: 'problem',
    title: { en: 'The service requires a credential', zh: '服务要求凭据' },
    text: {
      en: '401 from {by}: {message}. Either doctor was given no credential, or the proxy removes it.',
      zh: '{by} 返回 401：{message}。可能是未向 doctor 提供凭据，也可能是代理去掉了凭据。',
    },
    fixes: [
      { where: 'doctor', line: '--token TOKEN' },
      { where: 'streams_location', line: 'proxy_set_header Authorization $http_authorization;' },
    ],
  },
  forbidden: {
    severity: 'problem',
    title: { en: 'The credential does not allow this stream', zh: '凭据无权建立该连接' },
    text: { en: '403 from {by}: {message}', zh: '{by} 返回 403：{message}' },
    fixes: [{ where: 'doctor', line: '--user ID  # the user of the token' }],
  },
  refused_by_proxy: {
    severity: 'problem',
    title: { en: 'The proxy refuses browsers', zh: '代理拒绝了浏览器' },
    text: {
      en: 'Status {status} from {by}, not from the service: {message}',
      zh: '状态码 {status} 来自 {by}，而非服务：{message}',
    },
    fixes: [
      { where: 'streams_location', line: 'allow all;' },
      { where: 'streams_location', line: 'auth_basic off;' },
    ],
  },
  rate_limited: {
    severity: 'problem',
    title: { en: 'The rate limit for streams is too low', zh: '建立连接的限流过严' },
    text: { en: '429 from {by}: {message}', zh: '{by} 返回 429：{message}' },
    fixes: [
      { where: 'service', line: 'RATE_LIMIT_CONNECTS_PER_MINUTE=1000' },
      { where: 'streams_location', line: 'limit_req off;' },
    ],
  },
  turned_away: {
    severity: 'problem',
    title: { en: 'The service refuses new streams', zh: '服务拒绝新连接' },
    text: {
      en: 'The first event was "reconnect", reason: {reason}.',
      zh: '第一个事件为 "reconnect"，原因：{reason}。',
    },
    fixes: [
      { where: 'service', line: 'MAX_CONNECTIONS=10000' },
      {
        where: 'service',
        line: 'TRUST_PROXY=127.0.0.1  # the proxy; otherwise all clients share one address',
      },
    ],
  },
  buffered: {
    severity: 'problem',
    title: { en: 'The proxy buffers the stream', zh: '代理缓冲了事件流' },
    text: {
      en: 'The first event had not arrived after {seconds} s. The service sends it together with the response headers.',
      zh: '{seconds} 秒后第一个事件仍未到达，而服务会把该事件与响应头一并发送。',
    },
    fixes: [
      { where: 'streams_location', line: 'proxy_buffering off;' },
      { where: 'streams_location', line: '# remove: proxy_ignore_headers X-Accel-Buffering;' },
    ],
  },
  compressed: {
    severity: 'problem',
    title: { en: 'The stream is compressed', zh: '事件流被压缩' },
    text: {
      en: 'Content-Encoding: {encoding}. Events wait until a compression block is full, and every stream costs memory in the proxy.',
      zh: 'Content-Encoding: {encoding}。事件须等压缩块填满才会发出，且每个连接都要占用代理的内存。',
    },
    fixes: [
      { where: 'streams_location', line: 'gzip off;' },
      { where: 'streams_location', line: 'brotli off;  # if that module is loaded' },
    ],
  },
  caching: {
    severity: 'problem',
    title: { en: 'Headers that prevent caching are lost', zh: '禁用缓存的响应头丢失' },
    text: {
      en: 'Cache-Control: {value}, Expires: {expires}. The service sends "no-cache, no-transform"; without it, caches on the path may store or change the stream.',
      zh: 'Cache-Control: {value}，Expires: {expires}。服务发送的是 "no-cache, no-transform"；缺少该值时，链路上的缓存可能保存或改写事件流。',
    },
    fixes: [
      { where: 'streams_location', line: 'expires off;' },
      {
        where: 'streams_location',
        line: '# remove: proxy_hide_header Cache-Control; add_header Cache-Control …;',
      },
    ],
  },
  cut: {
    severity: 'problem',
    title: { en: 'The stream is cut', zh: '连接被断开' },
    text: {
      en: 'It ended after {seconds} s, {idle} s after the last bytes, without a closing event from the service ({how}). An idle timeout on the path is shorter than the heartbeat interval.',
      zh: '连接在 {seconds} 秒后断开（距最后一次收到数据 {idle} 秒），并非由服务主动结束（{how}）。链路上有空闲超时短于心跳间隔。',
    },
    fixes: [
      { where: 'streams_location', line: 'proxy_read_timeout 86400s;' },
      { where: 'service', line: 'HEARTBEAT_INTERVAL=15  # below every idle timeout on the path' },
    ],
  },
  sent_away: {
    severity: 'notice',
    title: { en: 'The service ended the stream', zh: '服务主动结束了连接' },
    text: {
      en: 'It ended after {seconds} s, reason: {reason}. Run doctor again.',
      zh: '{seconds} 秒后结束，原因：{reason}。请重新运行 doctor。',
    },
    fixes: [],
  },
  missing: {
    severity: 'problem',
    title: { en: 'Messages do not arrive', zh: '消息没有到达' },
    text: {
      en: 'Of {sent} messages that doctor sent to itself, {came} arrived within 5 s: they are buffered on the path, or were published to another service.',
      zh: 'doctor 发给自己的 {sent} 条消息中，5 秒内到达 {came} 条：其余的在链路上被缓冲，或发布到了另一个服务。',
    },
    fixes: [
      { where: 'streams_location', line: 'proxy_buffering off;' },
      { where: 'doctor', line: '--publish-url URL  # of the same service, or of a node on the same Redis' },
    ],
  },
  bursts: {
    severity: 'problem',
    title: { en: 'Events arrive in bursts', zh: '事件成批到达' },
    text: {
      en: '{count} events that were sent separately arrived together, up to {seconds} s late: a buffer on the path is filled first.',
      zh: '{count} 个分开发送的事件一起到达，最多延迟 {seconds} 秒：链路上有缓冲区，填满后才转发。',
    },
    fixes: [
      { where: 'streams_location', line: 'proxy_buffering off;' },
      { where: 'streams_location', line: 'gzip off;' },
    ],
  },
  late: {
    severity: 'problem',
    title: { en: 'Events arrive late', zh: '事件延迟到达' },
    text: {
      en: 'They are up to {seconds} s late. The service itself takes milliseconds: check message_push_delivery_latency_seconds first, then the network path.',
      zh: '最多延迟 {seconds} 秒。服务本身只需几毫秒：先看 message_push_delivery_latency_seconds，再查链路。',
    },
    fixes: [{ where: 'streams_location', line: 'proxy_buffering off;' }],
  },
  publish_refused: {
    severity: 'problem',
    title: { en: 'Publishing is refused', zh: '发布被拒绝' },
    text: { en: '{url} answers {status}: {message}', zh: '{url} 返回 {status}：{message}' },
    fixes: [
      { where: 'doctor', line: '--key KEY  # with the scope publish' },
      { where: 'doctor', line: '--publish-url http://127.0.0.1:8089' },
    ],
  },
  last_event_id_lost: {
    severity: 'problem',
    title: { en: 'Last-Event-ID does not arrive', zh: 'Last-Event-ID 未到达服务' },
    text: {
      en: 'A reconnecting browser sends its position in this header. Without it, every reconnect loses the messages in between.',
      zh: '浏览器重连时用该请求头携带游标。缺少它时，每次重连都会丢失断线期间的消息。',
    },
    fixes: [
      { where: 'streams_location', line: 'proxy_set_header Last-Event-ID $http_last_event_id;' },
      { where: 'streams_location', line: 'proxy_pass_request_headers on;' },
    ],
  },
  query_lost: {
    severity: 'problem',
    title: { en: 'The query of the URL does not arrive', zh: 'URL 查询参数未到达服务' },
    text: {
      en: '?last_event_id= had no effect, so ?channels= and ?ticket= have none either.',
      zh: '?last_event_id= 无效，因此 ?channels= 与 ?ticket= 同样无效。',
    },
    fixes: [
      { where: 'streams_location', line: 'proxy_pass http://message_push_backend;  # no path, no variables' },
    ],
  },
  header_limit: {
    severity: 'problem',
    title: { en: 'Requests with ordinary cookies are refused', zh: '携带常规 Cookie 的请求被拒绝' },
    text: {
      en: 'A request with {bytes} bytes of Last-Event-ID and cookies was answered with {answer}. Streams of many channels fail to reconnect.',
      zh: '请求的 Last-Event-ID 和 Cookie 共 {bytes} 字节，收到 {answer}。频道较多的连接会重连失败。',
    },
    fixes: [
      { where: 'nginx_server', line: 'large_client_header_buffers 4 16k;' },
      { where: 'service', line: 'MAX_HEADER_BYTES=16KB' },
    ],
  },
  url_limit: {
    severity: 'problem',
    title: { en: 'Long URLs are refused', zh: '较长的 URL 被拒绝' },
    text: {
      en: 'A request with {bytes} bytes of query was answered with {answer}. Streams of many channels have such URLs.',
      zh: '请求的查询参数为 {bytes} 字节，收到 {answer}。频道较多的连接，URL 会达到这一长度。',
    },
    fixes: [
      { where: 'nginx_server', line: 'large_client_header_buffers 4 16k;' },
      { where: 'service', line: 'MAX_HEADER_BYTES=16KB' },
    ],
  },
  cors_refused: {
    severity: 'problem',
    title: { en: 'Pages of that origin may not open streams', zh: '该来源的页面无权建立连接' },
    text: {
      en: 'For the origin {origin}, Access-Control-Allow-Origin is {allowed}: browsers refuse the stream.',
      zh: '对于来源 {origin}，Access-Control-Allow-Origin 为 {allowed}：浏览器会拒绝该连接。',
    },
    fixes: [{ where: 'service', line: 'ALLOWED_ORIGINS={origin}' }],
  },
  cors_doubled: {
    severity: 'problem',
    title: { en: 'The CORS headers are sent twice', zh: 'CORS 响应头重复' },
    text: {
      en: 'Access-Control-Allow-Origin is "{allowed}": browsers accept only one value. Both the service and the proxy send the header.',
      zh: 'Access-Control-Allow-Origin 为 "{allowed}"：浏览器只接受单个值，会拒绝该响应。服务与代理都添加了该响应头。',
    },
    fixes: [{ where: 'streams_location', line: '# remove: add_header Access-Control-Allow-Origin …;' }],
  },
  cors_credentials: {
    severity: 'problem',
    title: { en: 'Pages of that origin may not send cookies', zh: '该来源的页面无法携带 Cookie' },
    text: {
      en: 'A page of {origin} that opens the stream with credentials is refused.',
      zh: '{origin} 的页面携带凭据建立连接时会被拒绝。',
    },
    fixes: [
      { where: 'service', line: 'CORS_CREDENTIALS=true' },
      { where: 'service', line: 'ALLOWED_ORIGINS={origin}' },
    ],
  },
  cors_vary: {
    severity: 'problem',
    title: { en: 'Vary: Origin is lost', zh: 'Vary: Origin 丢失' },
    text: {
      en: 'Vary is {vary}. A cache may serve the response for one origin to pages of another, where browsers refuse it.',
      zh: 'Vary 为 {vary}。缓存会把一个来源的响应交给另一个来源的页面，导致后者被浏览器拒绝。',
    },
    fixes: [{ where: 'streams_location', line: '# remove: proxy_hide_header Vary;' }],
  },
  cors_preflight: {
    severity: 'problem',
    title: { en: 'The preflight fails', zh: '预检请求失败' },
    text: {
      en: 'OPTIONS was answered with {status}; missing: {missing}. Streams of the SDK and publishing from pages need a preflight.',
      zh: 'OPTIONS 返回 {status}；缺少：{missing}。SDK 建立连接、页面发布消息都依赖预检。',
    },
    fixes: [
      { where: 'streams_location', line: '# OPTIONS must reach the service: no return, no limit_except' },
    ],
  },
  cors_any_origin: {
    severity: 'problem',
    title: {
      en: 'Pages of any origin may act on behalf of their visitors',
      zh: '任意来源的页面都能以访问者身份操作',
    },
    text: {
      en: 'Even {origin}, an origin that does not exist, is allowed with credentials.',
      zh: '不存在的来源 {origin} 也被允许携带凭据。',
    },
    fixes: [
      { where: 'service', line: 'ALLOWED_ORIGINS=https://app.example.com' },
      { where: 'streams_location', line: '# remove: add_header Access-Control-Allow-Origin $http_origin;' },
    ],
  },
  clock_skew: {
    severity: 'problem',
    title: { en: 'The clocks differ', zh: '时钟不一致' },
    text: {
      en: "The service's clock is {seconds} s ahead of this machine's (behind if negative). It decides when JWTs and tickets expire and what ?since= means.",
      zh: '服务的时钟比本机快 {seconds} 秒（负数表示慢）。JWT 和票据的有效期、?since= 均以服务的时钟为准。',
    },
    fixes: [{ where: 'shell', line: 'timedatectl set-ntp true  # on the machine with the wrong clock' }],
  },
  proxy_clock_skew: {
    severity: 'problem',
    title: { en: "The proxy's clock is wrong", zh: '代理的时钟不正确' },
    text: {
      en: 'Its Date header is {seconds} s ahead (behind if negative).',
      zh: '代理的 Date 响应头快 {seconds} 秒（负数表示慢）。',
    },
    fixes: [{ where: 'shell', line: 'timedatectl set-ntp true  # on the machine of the proxy' }],
  },
  not_ready: {
    severity: 'problem',
    title: { en: 'The service is not ready', zh: '服务未就绪' },
    text: { en: '/sse/health/ready returns 503: {reason}', zh: '/sse/health/ready 返回 503：{reason}' },
    fixes: [{ where: 'shell', line: 'scripts/status.sh --health' }],
  },
  degraded: {
    severity: 'problem',
    title: { en: 'The service is not healthy', zh: '服务状态不健康' },
    text: { en: '/sse/health returns {state}: {reason}', zh: '/sse/health 返回 {state}：{reason}' },
    fixes: [{ where: 'shell', line: 'scripts/status.sh --health' }],
  },
  api_public: {
    severity: 'problem',
    title: { en: 'Anybody may use the API', zh: '任何人都能使用 API' },
    text: {
      en: '{path} answers without a credential: anybody who knows the URL can publish, read history and end streams.',
      zh: '{path} 无需凭据即可访问：凡知道该 URL 者，都能发布消息、读取历史、断开连接。',
    },
    fixes: [
      { where: 'api_location', line: 'allow 10.0.0.0/8; deny all;' },
      { where: 'service', line: 'ENABLE_API_KEY_AUTH=true' },
    ],
  },
  metrics_public: {
    severity: 'problem',
    title: { en: 'The metrics are public', zh: '指标对外暴露' },
    text: { en: '{url} is open to anybody.', zh: '任何人都能访问 {url} 并读取指标。' },
    fixes: [{ where: 'metrics_location', line: 'return 404;' }],
  },
  metrics_port_public: {
    severity: 'problem',
    title: { en: 'The metrics port is public', zh: '指标端口对外暴露' },
    text: { en: '{url} is open to anybody.', zh: '任何人都能访问 {url} 并读取指标。' },
    fixes: [{ where: 'service', line: 'METRICS_HOST=127.0.0.1' }],
  },
  health_public: {
    severity: 'notice',
    title: { en: 'Health details are public', zh: '健康详情对外暴露' },
    text: {
      en: '/sse/health reveals versions, servers and errors. /sse/health/ready and /sse/health/live are enough for load balancers.',
      zh: '/sse/health 会暴露版本、服务器地址和错误信息。负载均衡只需 /sse/health/ready 与 /sse/health/live。',
    },
    fixes: [{ where: 'health_location', line: 'allow 10.0.0.0/8; deny all;' }],
  },
  file_descriptors: {
    severity: 'problem',
    title: { en: 'Too few file descriptors', zh: '文件描述符不足' },
    text: {
      en: 'Process {pid} may open {limit} files; MAX_CONNECTIONS={maxConnections} needs {needed}. Beyond the limit, connections are not accepted.',
      zh: '进程 {pid} 最多可打开 {limit} 个，而 MAX_CONNECTIONS={maxConnections} 需要 {needed} 个。达到上限后无法接受新连接。',
    },
    fixes: [
      { where: 'systemd', line: 'LimitNOFILE=65536' },
      { where: 'compose', line: 'ulimits: { nofile: 65536 }' },
      { where: 'shell', line: 'ulimit -n 65536  # before starting the service or PM2' },
    ],
  },
  listen_backlog: {
    severity: 'problem',
    title: { en: 'The listen backlog is too short', zh: '监听队列过短' },
    text: {
      en: 'LISTEN_BACKLOG is {backlog}: when many clients reconnect at once, most of them wait a second or more.',
      zh: 'LISTEN_BACKLOG 为 {backlog}：大量客户端同时重连时，多数要等待一秒以上。',
    },
    fixes: [{ where: 'service', line: 'LISTEN_BACKLOG=4096' }],
  },
  somaxconn: {
    severity: 'problem',
    title: { en: 'The kernel shortens the listen backlog', zh: '内核缩短了监听队列' },
    text: {
      en: 'net.core.somaxconn is {somaxconn}, LISTEN_BACKLOG is {backlog}: the smaller one applies.',
      zh: 'net.core.somaxconn 为 {somaxconn}，LISTEN_BACKLOG 为 {backlog}：以较小者为准。',
    },
    fixes: [{ where: 'sysctl', line: 'net.core.somaxconn = 65535' }],
  },
} as const satisfies Record<string, FindingKind>;

export type FindingCode = keyof typeof FINDINGS;
