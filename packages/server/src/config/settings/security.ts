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
      'Certificate of the service and after it its chain, PEM. Certificate, key and authorities are read again when they change.',
  }),
  SSL_KEY_PATH: optionalText({
    ...PATH,
    needs: 'ENABLE_SSL=true',
    about: 'Its private key, PEM, not encrypted.',
  }),
  SSL_CA_PATH: optionalText({
    ...PATH,
    needs: 'ENABLE_SSL=true',
    about:
      'Authorities of client certificates, PEM. With it every client must show a certificate of one of them, browsers and probes too; the chain of the service itself belongs into SSL_CERT_PATH.',
  }),
  HSTS_MAX_AGE: integer({
    default: new Default<number>('`86400` in production, `0` in development', ({ environment }) =>
      environment === 'production' ? 86_400 : 0,
    ),
    min: 0,
    max: 63_072_000,
    unit: 'seconds',
    zero: 'not said',
    needs: 'ENABLE_SSL=true',
    about:
      'Time for which browsers are told to ask this host by HTTPS only (`Strict-Transport-Security`), on all its ports. Begin short: it cannot be taken back from browsers that have seen it.',
  }),
  ALLOW_ANONYMOUS: boolean({
    default: false,
    about:
      'Says that it is meant: in production the service does not start while anybody may publish, unless this is `true`.',
  }),
  ENABLE_AUTH: boolean({
    default: false,
    about:
      'Asks streams for a JWT or a ticket. Publishing is asked for credentials by ENABLE_API_KEY_AUTH; without it anybody may publish, and nobody but a user may see anything.',
  }),
  JWT_SECRET: optionalText({
    ...SECRET,
    needs: USERS,
    about:
      'Secret that JWTs are signed with (HS256, HS384, HS512); at least 32 bytes in production. With another JWT_ALGORITHM it may hold the public key, as JWT_PUBLIC_KEY does.',
  }),
  JWT_PUBLIC_KEY: optionalPublicKey({
    needs: USERS,
    about:
      'Public key or certificate that JWTs are verified with: PEM, in which `\\n` may stand for line breaks, or the path of a file.',
  }),
  JWT_JWKS_URL: optionalUrl(['https', 'http'], {
    needs: USERS,
    about:
      "Key set of the issuer (`…/.well-known/jwks.json`). It is fetched at need and kept while the issuer is away; keys are chosen by a token's `kid`.",
  }),
  JWT_ALGORITHM: optionalAlgorithms({
    needs: USERS,
    about:
      'Algorithms that JWTs may be signed with, separated by commas. A token that names another one is refused.',
  }),
  JWT_ISSUER: optionalTextList({
    needs: USERS,
    about: 'Issuers of which a JWT must be one (`iss`), separated by commas. Unset: any.',
  }),
  JWT_AUDIENCE: optionalTextList({
    needs: USERS,
    about:
      'Names of this service, of which a JWT must have one in `aud`, separated by commas. Unset: only JWTs without `aud` are taken.',
  }),
  JWT_CLOCK_TOLERANCE: integer({
    default: 5,
    min: 0,
    max: 300,
    unit: 'seconds',
    needs: USERS,
    about: "What the issuer's clock may differ by.",
  }),
  JWT_MAX_LIFETIME: integer({
    default: 2_592_000,
    min: 60,
    max: 31_536_000,
    unit: 'seconds',
    needs: USERS,
    about:
      'Time from `iat` after which a JWT ends, whatever its `exp` says. Revocations are kept for so long.',
  }),
  AUTH_COOKIE: optionalText({
    allowed: '1 to 128 characters of a cookie name',
    // [spec] RFC 6265, 4.1.1: a token.
    pattern: /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/,
    needs: USERS,
    about:
      'Name of the cookie that may hold a JWT; set it `HttpOnly`, `Secure` and `SameSite`. It counts only on pages of ALLOWED_ORIGINS and of the service itself.',
  }),
  TICKET_SECRET: optionalText({
    ...SECRET,
    needs: USERS,
    about:
      'Secret that tickets are sealed with, the same on all nodes; at least 32 bytes in production. Unset: made from JWT_SECRET, or without that at random by each process.',
  }),
  TICKET_TTL: integer({
    default: 600,
    min: 1,
    max: 604_800,
    unit: 'seconds',
    needs: USERS,
    about: 'Life of a ticket that is made without a `ttl`. At most TICKET_MAX_TTL.',
  }),
  TICKET_MAX_TTL: integer({
    default: 86_400,
    min: 1,
    max: 604_800,
    unit: 'seconds',
    needs: USERS,
    about: 'Longest life of a ticket.',
  }),
  AUTH_WEBHOOK_URL: optionalUrl(['https', 'http'], {
    needs: USERS,
    about:
      'Asked by POST with `{user_id, channels, client_ip}` whenever a user opens a stream; must answer 200 with `{"allow": true}` or `false`, and may list `channels`. Whatever else it does refuses the stream.',
  }),
  AUTH_WEBHOOK_SECRET: optionalText({
    ...SECRET,
    needs: USERS,
    about: 'Sent to AUTH_WEBHOOK_URL as `Authorization: Bearer`, by which it knows who asks.',
  }),
  AUTH_WEBHOOK_TIMEOUT: integer({
    default: 3,
    min: 1,
    max: 30,
    unit: 'seconds',
    needs: USERS,
    about: 'Time within which AUTH_WEBHOOK_URL must have answered.',
  }),
  AUTH_WEBHOOK_CACHE_TTL: integer({
    default: 10,
    min: 0,
    max: 3600,
    unit: 'seconds',
    zero: 'each stream asks',
    needs: USERS,
    about: 'Time for which an answer of AUTH_WEBHOOK_URL counts for the same question.',
  }),
  ENABLE_API_KEY_AUTH: boolean({
    default: false,
    about:
      'Asks publishers and operators for an API key, by `X-API-Key` or `Authorization: Bearer`. Streams are asked for credentials by ENABLE_AUTH.',
  }),
  API_KEY: optionalText({
    ...SECRET,
    needs: KEYS,
    about: 'An API key that may do everything; at least 16 characters in production.',
  }),
  API_KEYS: optionalKeyList({
    needs: KEYS,
    about:
      'Further API keys by their hashes, each with name, scopes, channels and end. `npm run keys -- create` makes one.',
  }),
  API_KEYS_FILE: optionalText({
    ...PATH,
    needs: KEYS,
    about: 'File of such a JSON array. It is read again when it changes.',
  }),
  ENABLE_RATE_LIMITING: boolean({
    default: false,
    about: 'Bounds what each client may ask: each API key, each user, and of others each address.',
  }),
  RATE_LIMIT_PER_MINUTE: integer({
    default: 1000,
    min: 1,
    max: 100_000_000,
    unit: 'requests per minute',
    needs: LIMITS,
    about: 'Requests to the API that each client may make.',
  }),
  RATE_LIMIT_CONNECTS_PER_MINUTE: integer({
    default: 0,
    min: 0,
    max: 100_000_000,
    unit: 'streams per minute',
    zero: 'as RATE_LIMIT_PER_MINUTE',
    needs: LIMITS,
    about: 'Streams that each client may open, reconnects included; counted apart from requests.',
  }),
  RATE_LIMIT_WINDOW: integer({
    default: 60,
    min: 1,
    max: 3600,
    unit: 'seconds',
    needs: LIMITS,
    about: 'Time over which limits are counted. A short one makes clients even out what they send.',
  }),
  RATE_LIMIT_BURST: integer({
    default: 0,
    min: 0,
    max: 100_000_000,
    unit: 'requests',
    needs: LIMITS,
    about: 'Requests, and streams, beyond its limit that a client may make within ten windows.',
  }),
  GATEWAY_SERVICE_URL: optionalUrl(['http', 'https'], {
    about:
      'Where the service registers itself: its name, URL, health URL and endpoints go there as JSON, by POST to exactly this URL. A user and password in it are sent as Basic. Never keeps the service from starting.',
  }),
  GATEWAY_REGISTER_INTERVAL: integer({
    default: 60,
    min: 0,
    max: 86_400,
    unit: 'seconds',
    zero: 'once',
    about:
      'Time after which the registration is repeated, so that a gateway that was restarted knows it again.',
  }),
} as const;
