/** Variables of the metrics, the log and debugging. */
import { boolean, bytes, choice, Default, integer, pathOrNone, text } from './kinds/setting.ts';

export const METRICS_SETTINGS = {
  ENABLE_METRICS: boolean({
    default: true,
    about: 'Serves Prometheus metrics at `/sse/metrics` and `/metrics` of METRICS_PORT.',
  }),
  METRICS_HOST: text({
    type: 'address',
    allowed: 'an IP address or a host name',
    pattern: /^[A-Za-z0-9._:%-]{1,255}$/,
    default: '0.0.0.0',
    about: 'Address on which the metrics are served.',
  }),
  METRICS_PORT: integer({
    default: 9090,
    min: 0,
    max: 65535,
    zero: 'any free port',
    about:
      'Port of the metrics, of all processes of WORKER_THREADS together. Instance i of a PM2 cluster takes METRICS_PORT + i.',
  }),
} as const;

export const LOG_SETTINGS = {
  LOG_LEVEL: choice(['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'], {
    default: 'INFO',
    aliases: { WARN: 'WARNING' },
    about: 'Least level that is logged.',
  }),
  LOG_FORMAT: choice(['json', 'colored'], {
    default: new Default<'json' | 'colored'>('`colored` in development, `json` in production', (context) =>
      context.environment === 'production' ? 'json' : 'colored',
    ),
    about: 'How lines look on standard output. LOG_FILE is always JSON, a line each.',
  }),
  LOG_FILE: pathOrNone({
    default: 'logs/message-push-service.log',
    about:
      'File that gets every line too; `none` leaves it to standard output. Instances of a PM2 cluster write `name.INSTANCE.log`.',
  }),
  LOG_ROTATE: boolean({
    default: true,
    about:
      'Rotates LOG_FILE by size. `false` appends for ever, for an outside logrotate with `copytruncate`.',
  }),
  LOG_MAX_SIZE: bytes({
    default: 10_485_760,
    min: 1024,
    max: 1_099_511_627_776,
    about: 'Size at which LOG_FILE is rotated.',
  }),
  LOG_BACKUP_COUNT: integer({
    default: 5,
    min: 1,
    max: 1000,
    unit: 'files',
    about: 'Rotated files that are kept, as LOG_FILE.1, LOG_FILE.2 …',
  }),
  DEBUG: boolean({ default: false, about: '`true` means LOG_LEVEL=DEBUG.' }),
  PROFILING: boolean({
    default: false,
    about:
      'Lets operators take CPU profiles and heap snapshots, at `/sse/api/v1/profiles`. A snapshot holds messages and secrets; production needs `ENABLE_API_KEY_AUTH=true` for it.',
  }),
} as const;
