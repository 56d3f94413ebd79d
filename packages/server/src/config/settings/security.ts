/** Variables of TLS, authentication and rate limits. */
import {
  optionalAlgorithms,
  optionalKeyList,
  optionalPublicKey,
  optionalTextList,
} from './kinds/access-settings.ts';
import { optionalUrl } from './kinds/network-settings.ts';
import { boolean, Default, integer, optionalText, PATH } from './kinds/setting.ts';

const SECRET = { allowed: '1 to 4096 characters', pattern: /^[^\0]{1,4096}$/, isSecret: true } as const;
const USERS = 'ENABLE_AUTH=true';
const KEYS = 'ENABLE_API_KEY_AUTH=true';
const LIMITS = 'ENABLE_RATE_LIMITING=true';

export const SECURITY_SETTINGS = {
  ENABLE_SSL: boolean({
    default: false,
    about:
      'Serves HTTPS instead of HTTP on SERVICE_PORT: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1. The metrics stay on plain HTTP.',
  }),
  SSL_CERT_PATH: optionalText({
    ...PATH,
    needs: 'ENABLE_SSL=true',
    about:
      'Certificate of the service followed by its chain, as PEM. The files of the certificate, its key and the client authorities are reloaded when they change.',
  }),
  SSL_KEY_PATH: optionalText({
    ...PATH,
    needs: 'ENABLE_SSL=true',
    about: 'Private key of the certificate, as unencrypted PEM.',
  }),
  SSL_CA_PATH: optionalText({
    ...PATH,
    needs: 'ENABLE_SSL=true',
    about:
      "Certificate authorities for client certificates, as PEM. When set, every client, including browsers and probes, must present a certificate from one of them. The chain of the service's own certificate belongs in SSL_CERT_PATH.",
  }),
  HSTS_MAX_AGE: integer({
    default: new Default<number>('`86400` in production, `0` in development', ({ environment }) =>
      environment === 'production' ? 86_400 : 0,
    ),
    min: 0,
    max: 63_072_000,
    unit: 'seconds',
    zero: 'no header',
    needs: 'ENABLE_SSL=true',
    about:
      'Time for which browsers use only HTTPS for this host, on all its ports (`Strict-Transport-Security`). Start with a short time: browsers remember it even after HTTPS is turned off.',
  }),
  ALLOW_ANONYMOUS: boolean({
    default: false,
    about:
      'Confirms that the service is meant to be open. In production the service refuses to start while anybody may publish, unless this is `true`.',
  }),
  ENABLE_AUTH: boolean({
    default: false,
    about:
      'Requires a JWT or a ticket to open streams. Publishing is protected separately, by ENABLE_API_KEY_AUTH; without that, anybody may publish.',
  }),
  JWT_SECRET: optionalText({
    ...SECRET,
    needs: USERS,
    about:
      'Secret that JWTs are signed with (HS256, HS384, HS512); at least 32 bytes in production. With another JWT_ALGORITHM it may hold the public key, like JWT_PUBLIC_KEY.',
  }),
  JWT_PUBLIC_KEY: optionalPublicKey({
    needs: USERS,
    about:
      'Public key or certificate that verifies JWTs: PEM, in which `\\n` may stand for line breaks, or the path of a file.',
  }),
  JWT_JWKS_URL: optionalUrl(['https', 'http'], {
    needs: USERS,
    about:
      "URL of the issuer's key set (`…/.well-known/jwks.json`). The keys are fetched when needed and kept while the issuer is unreachable; the `kid` of a token selects the key.",
  }),
  JWT_ALGORITHM: optionalAlgorithms({
    needs: USERS,
    about:
      'Allowed signature algorithms of JWTs, separated by commas. A token that names another one is refused.',
  }),
  JWT_ISSUER: optionalTextList({
    needs: USERS,
    about: 'Accepted issuers of JWTs (`iss`), separated by commas. If unset, any issuer is accepted.',
  }),
  JWT_AUDIENCE: optionalTextList({
    needs: USERS,
    about:
      'Names of this service, separated by commas; the `aud` of a JWT must contain one. If unset, only JWTs without `aud` are accepted.',
  }),
  JWT_CLOCK_TOLERANCE: integer({
    default: 5,
    min: 0,
    max: 300,
    unit: 'seconds',
    needs: USERS,
    about: "Tolerated difference between the issuer's clock and that of the service.",
  }),
  JWT_MAX_LIFETIME: integer({
    default: 2_592_000,
    min: 60,
    max: 31_536_000,
    unit: 'seconds',
    needs: USERS,
    about:
      'Time from `iat` after which a JWT expires, whatever its `exp` says. Revocations are kept for this time.',
  }),
  AUTH_COOKIE: optionalText({
    allowed: '1 to 128 characters of a cookie name',
    // [spec] RFC 6265, 4.1.1: a token.
    pattern: /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/,
    needs: USERS,
    about:
      'Name of the cookie that may hold a JWT. Give the cookie the attributes `HttpOnly`, `Secure` and `SameSite`. It is accepted only from pages of ALLOWED_ORIGINS and of the service itself.',
  }),
  TICKET_SECRET: optionalText({
    ...SECRET,
    needs: USERS,
    about:
      'Secret that tickets are encrypted with, the same on all nodes; at least 32 bytes in production. If unset, it is derived from JWT_SECRET; without that, each process generates a random one, and its tickets are valid nowhere else.',
  }),
  TICKET_TTL: integer({
    default: 600,
    min: 1,
    max: 604_800,
    unit: 'seconds',
    needs: USERS,
    about: 'Lifetime of a ticket that is issued without a `ttl`. It must be at most TICKET_MAX_TTL.',
  }),
  TICKET_MAX_TTL: integer({
    default: 86_400,
    min: 1,
    max: 604_800,
    unit: 'seconds',
    needs: USERS,
    about: 'Maximum lifetime of a ticket.',
  }),
  AUTH_WEBHOOK_URL: optionalUrl(['https', 'http'], {
    needs: USERS,
    about:
      'URL that gets a POST with `{user_id, channels, client_ip}` whenever a user opens a stream. It must answer 200 with `{"allow": true}` or `false`, and may list the allowed `channels`. Without such an answer, the stream is told to reconnect later.',
  }),
  AUTH_WEBHOOK_SECRET: optionalText({
    ...SECRET,
    needs: USERS,
    about:
      'Secret that is sent to AUTH_WEBHOOK_URL as `Authorization: Bearer`, so that the application can authenticate the service.',
  }),
  AUTH_WEBHOOK_TIMEOUT: integer({
    default: 3,
    min: 1,
    max: 30,
    unit: 'seconds',
    needs: USERS,
    about: 'Time within which AUTH_WEBHOOK_URL must answer.',
  }),
  AUTH_WEBHOOK_CACHE_TTL: integer({
    default: 10,
    min: 0,
    max: 3600,
    unit: 'seconds',
    zero: 'no caching',
    needs: USERS,
    about: 'Time for which an answer of AUTH_WEBHOOK_URL is reused for the same question.',
  }),
  ENABLE_API_KEY_AUTH: boolean({
    default: false,
    about:
      'Requires an API key from publishers and operators, in `X-API-Key` or `Authorization: Bearer`. Streams are protected separately, by ENABLE_AUTH.',
  }),
  API_KEY: optionalText({
    ...SECRET,
    needs: KEYS,
    about: 'An API key that may do everything; at least 16 characters in production.',
  }),
  API_KEYS: optionalKeyList({
    needs: KEYS,
    about:
      'Further API keys, given by their hashes, each with a name, scopes, channels and optionally an expiry. `npm run keys -- create` creates one.',
  }),
  API_KEYS_FILE: optionalText({
    ...PATH,
    needs: KEYS,
    about: 'File with a JSON array as in API_KEYS. It is reloaded when it changes.',
  }),
  ENABLE_RATE_LIMITING: boolean({
    default: false,
    about:
      'Limits the requests of each client: of each API key, each user and, for all others, each address.',
  }),
  RATE_LIMIT_PER_MINUTE: integer({
    default: 1000,
    min: 1,
    max: 100_000_000,
    unit: 'requests per minute',
    needs: LIMITS,
    about: 'Number of API requests that each client may make.',
  }),
  RATE_LIMIT_CONNECTS_PER_MINUTE: integer({
    default: 0,
    min: 0,
    max: 100_000_000,
    unit: 'streams per minute',
    zero: 'the value of RATE_LIMIT_PER_MINUTE',
    needs: LIMITS,
    about:
      'Number of streams that each client may open, including reconnects; counted separately from API requests.',
  }),
  RATE_LIMIT_WINDOW: integer({
    default: 60,
    min: 1,
    max: 3600,
    unit: 'seconds',
    needs: LIMITS,
    about:
      'Length of the window in which requests are counted. A short one makes clients spread their requests evenly.',
  }),
  RATE_LIMIT_BURST: integer({
    default: 0,
    min: 0,
    max: 100_000_000,
    unit: 'requests',
    needs: LIMITS,
    about:
      'Number of requests beyond the limit that a client may make within ten windows. The same number applies to streams.',
  }),
  GATEWAY_SERVICE_URL: optionalUrl(['http', 'https'], {
    about:
      'URL of a gateway at which the service registers: its name, URL, health URL and endpoints are sent as JSON, by POST to exactly this URL. A user and password in the URL are sent as Basic authentication. If registering fails, the service starts anyway and retries.',
  }),
  GATEWAY_REGISTER_INTERVAL: integer({
    default: 60,
    min: 0,
    max: 86_400,
    unit: 'seconds',
    zero: 'once',
    about:
      'Time after which the registration is repeated, so that a restarted gateway learns of the service again.',
  }),
} as const;
