/** Variables of the process: its name, port, start and stop. */
import { optionalBaseUrl } from './kinds/network-settings.ts';
import {
  boolean,
  choice,
  Default,
  ENVIRONMENTS,
  integer,
  optionalText,
  PATH,
  text,
} from './kinds/setting.ts';

const NAME = { allowed: '1 to 64 printable characters', pattern: /^[^\p{C}]{1,64}$/u } as const;

export const SERVICE_SETTINGS = {
  SERVICE_NAME: text({
    ...NAME,
    default: 'message-push-service',
    about: 'Name of the service in the log and in responses, and the default `source` of messages.',
  }),
  SERVICE_VERSION: text({
    ...NAME,
    default: new Default('the version of the package', (context) => context.packageVersion),
    about: 'Version that responses and metrics report.',
  }),
  ENVIRONMENT: choice(ENVIRONMENTS, {
    default: 'development',
    about:
      'Selects the env file, `config/development.env` or `config/production.env`, and a few defaults. Set it in the process environment.',
  }),
  CONFIG_FILE: optionalText({
    ...PATH,
    about:
      'Env file to read instead of `config/{ENVIRONMENT}.env`; it must exist. Set it in the process environment only.',
  }),
  SERVICE_HOST: text({
    type: 'address',
    allowed: 'an IP address or a host name',
    pattern: /^[A-Za-z0-9._:%-]{1,255}$/,
    default: '0.0.0.0',
    about: 'Address on which the service listens; `::` listens on both IPv6 and IPv4.',
  }),
  SERVICE_PORT: integer({
    default: 8089,
    min: 0,
    max: 65535,
    zero: 'any free port',
    about: 'Port of the service.',
  }),
  SERVICE_PUBLIC_URL: optionalBaseUrl({
    about:
      'URL at which others reach the service, if it differs from SERVICE_HOST and SERVICE_PORT, as behind a proxy or in a container. It is announced to the gateway at GATEWAY_SERVICE_URL.',
  }),
  LISTEN_BACKLOG: integer({
    default: 4096,
    min: 1,
    max: 65535,
    unit: 'connections',
    about:
      'Maximum number of connections that wait to be accepted; the kernel caps it at `net.core.somaxconn`. With a small value, clients that reconnect all at once wait longer.',
  }),
  WORKER_THREADS: integer({
    default: 1,
    min: 1,
    max: 256,
    unit: 'processes',
    about:
      'Number of processes that share the port. Each is a node of its own, with its own streams and limits. More than one needs `MESSAGE_QUEUE_TYPE=redis`.',
  }),
  DRAIN_TIMEOUT: integer({
    default: 20,
    min: 0,
    max: 3600,
    unit: 'seconds',
    about:
      'Time over which a process that is stopping ends its streams, so that they do not all reconnect at once. The kill timeout of the supervisor must be at least 10 s longer.',
  }),
  ENABLE_SWAGGER: boolean({
    default: true,
    about: 'Serves the API documentation at `/docs` and `/redoc`, and its OpenAPI source at `/openapi.json`.',
  }),
} as const;
