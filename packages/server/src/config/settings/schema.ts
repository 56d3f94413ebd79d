/**
 * All variables of the service, in the groups and the order of the reference. A variable that is not here does not
 * exist: env files that name it are refused.
 */

import { HISTORY_SETTINGS } from './history.ts';
import { HTTP_SETTINGS } from './http.ts';
import type { ValueOf } from './kinds/setting.ts';
import { LOG_SETTINGS, METRICS_SETTINGS } from './observability.ts';
import { PUBLISHING_SETTINGS } from './publishing.ts';
import { REDIS_SETTINGS } from './redis.ts';
import { SECURITY_SETTINGS } from './security.ts';
import { SERVICE_SETTINGS } from './service.ts';
import { STREAM_SETTINGS } from './streams.ts';
import { TRACING_SETTINGS } from './tracing.ts';

export const GROUPS = [
  { title: 'Service', settings: SERVICE_SETTINGS },
  { title: 'Engine and history', settings: HISTORY_SETTINGS },
  { title: 'Publishing', settings: PUBLISHING_SETTINGS },
  { title: 'Streams', settings: STREAM_SETTINGS },
  { title: 'HTTP', settings: HTTP_SETTINGS },
  { title: 'Metrics', settings: METRICS_SETTINGS },
  { title: 'Tracing', settings: TRACING_SETTINGS },
  { title: 'Logging and debugging', settings: LOG_SETTINGS },
  { title: 'Security', settings: SECURITY_SETTINGS },
  { title: 'Redis', settings: REDIS_SETTINGS },
] as const;

export const SETTINGS = {
  ...SERVICE_SETTINGS,
  ...HISTORY_SETTINGS,
  ...PUBLISHING_SETTINGS,
  ...STREAM_SETTINGS,
  ...HTTP_SETTINGS,
  ...METRICS_SETTINGS,
  ...TRACING_SETTINGS,
  ...LOG_SETTINGS,
  ...SECURITY_SETTINGS,
  ...REDIS_SETTINGS,
} as const;

export type Variable = keyof typeof SETTINGS;

/** The value of every variable, in the units of the variables. */
export type Values = { readonly [V in Variable]: ValueOf<(typeof SETTINGS)[V]> };

export const VARIABLES = Object.keys(SETTINGS) as readonly Variable[];

export function isVariable(name: string): name is Variable {
  return Object.hasOwn(SETTINGS, name);
}
