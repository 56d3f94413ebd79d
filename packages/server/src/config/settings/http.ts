/** Variables of HTTP itself: who may ask, how large, how slowly. */
import { type AllowedOrigins, origins, trustedProxies } from './kinds/network-settings.ts';
import { boolean, bytes, Default, integer } from './kinds/setting.ts';

export const HTTP_SETTINGS = {
  ALLOWED_ORIGINS: origins({
    default: new Default<AllowedOrigins>('`*` in development, `none` in production', (context) =>
      context.environment === 'production' ? [] : '*',
    ),
    about:
      'Origins whose pages may use the service; `none` leaves it to pages of its own origin. `https://*.example.com` is every subdomain, however deep, of that scheme and port, and not example.com itself. `*` cannot be combined with CORS_CREDENTIALS.',
  }),
  CORS_CREDENTIALS: boolean({
    default: false,
    about: 'Lets pages of ALLOWED_ORIGINS send cookies and credentials, and act for their visitors by them.',
  }),
  TRUST_PROXY: trustedProxies({
    default: false,
    about:
      'Proxies whose `X-Forwarded-For` counts. `true` believes everybody and is safe only where clients cannot connect directly.',
  }),
  MAX_HEADER_BYTES: bytes({
    default: 16_384,
    min: 4096,
    max: 1_048_576,
    about: "Largest head of a request: request line and headers, a stream's `Last-Event-ID` included.",
  }),
  REQUEST_TIMEOUT: integer({
    default: 30,
    min: 1,
    max: 3600,
    unit: 'seconds',
    about: 'Time within which the head and the body of a request must arrive.',
  }),
} as const;
