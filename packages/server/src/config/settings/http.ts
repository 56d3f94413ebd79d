/** Variables of HTTP itself: origins, proxies, and limits on size and time. */
import { type AllowedOrigins, origins, trustedProxies } from './kinds/network-settings.ts';
import { boolean, bytes, Default, integer } from './kinds/setting.ts';

export const HTTP_SETTINGS = {
  ALLOWED_ORIGINS: origins({
    default: new Default<AllowedOrigins>('`*` in development, `none` in production', (context) =>
      context.environment === 'production' ? [] : '*',
    ),
    about:
      "Origins whose pages may use the service; `none` allows only pages of the service's own origin. `https://*.example.com` allows every subdomain at any depth, with that scheme and port, but not example.com itself. `*` cannot be combined with CORS_CREDENTIALS.",
  }),
  CORS_CREDENTIALS: boolean({
    default: false,
    about:
      'Lets pages of ALLOWED_ORIGINS send cookies and credentials, and so act on behalf of their visitors.',
  }),
  TRUST_PROXY: trustedProxies({
    default: false,
    about:
      'Proxies whose `X-Forwarded-For` is trusted. `true` trusts every peer and is safe only if clients cannot connect directly.',
  }),
  MAX_HEADER_BYTES: bytes({
    default: 16_384,
    min: 4096,
    max: 1_048_576,
    about:
      'Maximum size of the request line and headers together, including the `Last-Event-ID` of a stream.',
  }),
  REQUEST_TIMEOUT: integer({
    default: 30,
    min: 1,
    max: 3600,
    unit: 'seconds',
    about: 'Time within which the headers and the body of a request must arrive.',
  }),
} as const;
