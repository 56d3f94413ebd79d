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
    about: 'Name in the log and in responses, and the `source` of messages that name none.',
  }),
  SERVICE_VERSION: text({
    ...NAME,
    default: new Default('the version of the package', (context) => context.packageVersion),
    about: 'Version that responses and metrics report.',
  }),
  ENVIRONMENT: choice(ENVIRONMENTS, {
    default: 'development',
    about:
      'Chooses `config/development.env` or `config/production.env` and a few defaults. Set it in the process environment.',
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
    about: 'Address on which the service listens; `::` stands for IPv6 and IPv4.',
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
      'URL at which others reach the service, if that is not its host and port: behind a proxy or in a container. It is sent to the gateway of GATEWAY_SERVICE_URL.',
  }),
  LISTEN_BACKLOG: integer({
    default: 4096,
    min: 1,
    max: 65535,
    unit: 'connections',
    about:
      'Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`. A small value slows down crowds that reconnect.',
  }),
  WORKER_THREADS: integer({
    default: 1,
    min: 1,
    max: 256,
    unit: 'processes',
    about:
      'Processes that share the port, each a node of its own. More than 1 needs `MESSAGE_QUEUE_TYPE=redis`.',
  }),
  DRAIN_TIMEOUT: integer({
    default: 20,
    min: 0,
    max: 3600,
    unit: 'seconds',
    about:
      'Time over which a stopping process spreads the closing of its streams. Keep it below the kill timeout of the supervisor.',
  }),
  ENABLE_SWAGGER: boolean({
    default: true,
    about: 'Serves `/docs`, `/redoc` and `/openapi.json`.',
  }),
} as const;
