/**
 * Rules between settings. A setting that cannot be honoured stops the start and is named: an operator who asked for TLS
 * or for a password must never get a service without it.
 */

import type { Source } from '../config-error.ts';
import { usesTls } from '../redis-config.ts';
import type { Values, Variable } from '../settings/schema.ts';
import { accessProblems, accessWarnings } from './access-checks.ts';
import type { Finding } from './finding.ts';
import { redisProblems, redisWarnings } from './redis-checks.ts';

/** Pairs of variables: the first must not be larger than the second, for the reason given. */
const ORDERED: readonly (readonly [smaller: NumberVariable, larger: NumberVariable, why: string])[] = [
  ['MAX_MESSAGE_SIZE', 'MAX_BATCH_BYTES', 'or a batch could not carry the largest message'],
  ['MAX_BATCH_BYTES', 'PUBLISH_QUEUE_MAX_BYTES', 'or the largest batch could never wait for the engine'],
  ['MAX_MESSAGE_SIZE', 'CHANNEL_HISTORY_MAX_BYTES', 'or a channel could not keep the largest message'],
  ['MAX_MESSAGE_SIZE', 'HISTORY_MAX_BYTES', 'or history could not keep the largest message'],
  ['MAX_OUTBOX_BYTES', 'MAX_TOTAL_OUTBOX_BYTES', 'or one stream alone could exceed the total'],
  ['TICKET_TTL', 'TICKET_MAX_TTL', 'or tickets could not have their default lifetime'],
];

type NumberVariable = { [V in Variable]: Values[V] extends number ? V : never }[Variable];

type NeedsOf = (variable: Variable) => string | undefined;

export function crossProblems(
  values: Values,
  isSet: (variable: Variable) => boolean,
  needsOf: NeedsOf,
): Finding[] {
  const problems: Finding[] = [];
  for (const [smaller, larger, why] of ORDERED) {
    if (values[smaller] <= values[larger]) continue;
    if (unmetNeed(smaller, values, needsOf) ?? unmetNeed(larger, values, needsOf)) continue;
    // The problem names the variable that was set, so that the operator finds it.
    problems.push(
      isSet(larger) || !isSet(smaller)
        ? {
            variable: larger,
            other: smaller,
            problem: `must be at least ${smaller}, which is ${values[smaller]}, ${why}`,
          }
        : {
            variable: smaller,
            other: larger,
            problem: `must be at most ${larger}, which is ${values[larger]}, ${why}`,
          },
    );
  }
  if (values.WORKER_THREADS > 1 && values.MESSAGE_QUEUE_TYPE === 'embedded') {
    problems.push({
      variable: 'WORKER_THREADS',
      other: 'MESSAGE_QUEUE_TYPE',
      problem:
        'more than one process needs MESSAGE_QUEUE_TYPE=redis, because one process owns the embedded store; must be 1',
    });
  }
  if (values.ACK_LEVEL === 'replicated' && values.MESSAGE_QUEUE_TYPE === 'embedded') {
    problems.push({
      variable: 'ACK_LEVEL',
      other: 'MESSAGE_QUEUE_TYPE',
      problem: 'needs MESSAGE_QUEUE_TYPE=redis, because the embedded engine has no replicas; must be stored',
    });
  }
  problems.push(...redisProblems(values, isSet));
  problems.push(...accessProblems(values));
  if (values.ALLOWED_ORIGINS === '*' && values.CORS_CREDENTIALS) {
    problems.push({
      variable: 'CORS_CREDENTIALS',
      other: 'ALLOWED_ORIGINS',
      problem:
        'must be false while ALLOWED_ORIGINS is *, or every page on the web could act on behalf of its visitors; list the origins',
    });
  }
  if (values.ENABLE_METRICS && values.METRICS_PORT === values.SERVICE_PORT && values.METRICS_PORT !== 0) {
    problems.push({
      variable: 'METRICS_PORT',
      other: 'SERVICE_PORT',
      problem: `must differ from SERVICE_PORT, which is ${values.SERVICE_PORT}`,
    });
  }
  return problems;
}

export interface WarningInput {
  readonly values: Values;
  readonly sourceOf: (variable: Variable) => Source;
  readonly needsOf: NeedsOf;
  readonly variables: readonly Variable[];
}

/** Warnings about variables that are set but have no effect: none is ignored silently. */
export function crossWarnings({ values, sourceOf, needsOf, variables }: WarningInput): string[] {
  const warnings: string[] = [];
  for (const variable of variables) {
    if (sourceOf(variable) === 'default') continue;
    const needs = unmetNeed(variable, values, needsOf);
    if (needs !== undefined) warnings.push(`${variable} is set but has no effect without ${needs}`);
  }
  if (values.GATEWAY_SERVICE_URL === undefined) {
    for (const variable of ['SERVICE_PUBLIC_URL', 'GATEWAY_REGISTER_INTERVAL'] as const) {
      if (sourceOf(variable) === 'default') continue;
      warnings.push(`${variable} is set but has no effect without GATEWAY_SERVICE_URL`);
    }
  }
  warnings.push(...redisWarnings(values, (variable) => sourceOf(variable) !== 'default'));
  warnings.push(...accessWarnings(values));
  if (values.DEBUG && sourceOf('LOG_LEVEL') !== 'default' && values.LOG_LEVEL !== 'DEBUG') {
    warnings.push(`LOG_LEVEL=${values.LOG_LEVEL} has no effect with DEBUG=true`);
  }
  return warnings;
}

/** Returns the switch that is off and without which `variable` has no effect. A switch may itself need another one. */
function unmetNeed(variable: Variable, values: Values, needsOf: NeedsOf): string | undefined {
  const needs = needsOf(variable);
  if (needs === undefined) return undefined;
  const [name, wanted] = needs.split('=') as [Variable, string];
  // Switches are words or booleans.
  const value = (name === 'REDIS_TLS' ? usesTls(values) : values[name]) as string | boolean;
  return String(value) === wanted ? unmetNeed(name, values, needsOf) : needs;
}
