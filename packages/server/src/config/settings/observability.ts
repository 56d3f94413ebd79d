/** Variables of metrics, the log and debugging. */
import { boolean, bytes, choice, Default, integer, pathOrNone, text } from './kinds/setting.ts';

export const METRICS_SETTINGS = {
  ENABLE_METRICS: boolean({
    default: true,
    about: 'Serves Prometheus metrics at `/sse/metrics` and `/metrics` on METRICS_PORT.',
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
      'Port of the metrics. All processes of WORKER_THREADS share it; instance i of a PM2 cluster uses METRICS_PORT + i.',
  }),
} as const;

export const LOG_SETTINGS = {
  LOG_LEVEL: choice(['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'], {
    default: 'INFO',
    aliases: { WARN: 'WARNING' },
    about: 'Lowest level that is logged.',
  }),
  LOG_FORMAT: choice(['json', 'colored'], {
    default: new Default<'json' | 'colored'>('`colored` in development, `json` in production', (context) =>
      context.environment === 'production' ? 'json' : 'colored',
    ),
    about: 'Format of standard output. LOG_FILE always gets JSON, one object per line.',
  }),
  LOG_FILE: pathOrNone({
    default: 'logs/message-push-service.log',
    about:
      'File to which the log is written in addition to standard output; with `none` there is no file. In a PM2 cluster each instance adds its number, as in `name.0.log`.',
  }),
  LOG_ROTATE: boolean({
    default: true,
    about: 'Rotates LOG_FILE by size. Use `false` with an external logrotate and `copytruncate`.',
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
    about: 'Number of rotated files to keep, as LOG_FILE.1, LOG_FILE.2 …',
  }),
  DEBUG: boolean({ default: false, about: '`true` is the same as LOG_LEVEL=DEBUG.' }),
  PROFILING: boolean({
    default: false,
    about:
      'Lets operators take CPU profiles and heap snapshots at `/sse/api/v1/profiles`. A snapshot contains messages and secrets, so production also requires `ENABLE_API_KEY_AUTH=true`.',
  }),
} as const;
