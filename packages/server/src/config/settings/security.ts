/** Variables of TLS, authentication and rate limits. */
import { optionalUrl } from '../network-settings.ts';
import { boolean, choice, integer, optionalText, PATH } from '../setting.ts';

const SECRET = { allowed: '1 to 4096 characters', pattern: /^[^\0]{1,4096}$/, isSecret: true } as const;
const JWT_ALGORITHMS = [
  'HS256',
  'HS384',
  'HS512',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
] as const;

export const SECURITY_SETTINGS = {
  ENABLE_SSL: boolean({ default: false, about: 'Serves HTTPS instead of HTTP.' }),
  SSL_CERT_PATH: optionalText({
    ...PATH,
    needs: 'ENABLE_SSL=true',
    about: 'Certificate and its chain, PEM.',
  }),
  SSL_KEY_PATH: optionalText({ ...PATH, needs: 'ENABLE_SSL=true', about: 'Private key, PEM.' }),
  SSL_CA_PATH: optionalText({
    ...PATH,
    needs: 'ENABLE_SSL=true',
    about: 'Authorities whose client certificates are accepted, PEM.',
  }),
  ENABLE_AUTH: boolean({ default: false, about: 'Asks streams and publishers for a JWT.' }),
  JWT_SECRET: optionalText({
    ...SECRET,
    needs: 'ENABLE_AUTH=true',
    about: 'Secret or public key that JWTs are verified with.',
  }),
  JWT_ALGORITHM: choice(JWT_ALGORITHMS, {
    default: 'HS256',
    needs: 'ENABLE_AUTH=true',
    about: 'Algorithm that JWTs must be signed with.',
  }),
  ENABLE_API_KEY_AUTH: boolean({ default: false, about: 'Asks publishers and operators for an API key.' }),
  API_KEY: optionalText({ ...SECRET, needs: 'ENABLE_API_KEY_AUTH=true', about: 'The API key.' }),
  ENABLE_RATE_LIMITING: boolean({ default: false, about: 'Bounds the requests of each client.' }),
  RATE_LIMIT_PER_MINUTE: integer({
    default: 1000,
    min: 1,
    max: 100_000_000,
    unit: 'requests per minute',
    needs: 'ENABLE_RATE_LIMITING=true',
    about: 'Requests that each client may make.',
  }),
  GATEWAY_SERVICE_URL: optionalUrl(['http', 'https'], {
    about: 'Gateway at which the service registers itself.',
  }),
} as const;
