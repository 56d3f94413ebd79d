/** Rules between the variables of Redis. They apply only to the redis engine. */

import { usesTls } from '../redis-config.ts';
import type { Values, Variable } from '../settings/schema.ts';
import type { Finding } from './finding.ts';

type IsSet = (variable: Variable) => boolean;

/** Contradictions: continuing would use another server or database, or less safety, than was asked for. */
export function redisProblems(values: Values, isSet: IsSet): Finding[] {
  if (values.MESSAGE_QUEUE_TYPE !== 'redis') return [];
  return [
    ...addressProblems(values),
    ...databaseProblems(values, isSet),
    ...credentialProblems(values),
    ...tlsProblems(values),
  ];
}

function addressProblems({ REDIS_MODE: mode, REDIS_NODES: nodes, REDIS_URL: url }: Values): Finding[] {
  const problems: Finding[] = [];
  if (mode === 'sentinel' && nodes === undefined) {
    const problem = 'needs REDIS_NODES: the sentinels, as host:port,host:port';
    problems.push({ variable: 'REDIS_MODE', other: 'REDIS_NODES', problem });
  }
  if (mode === 'standalone' && nodes !== undefined) {
    const problem =
      'must not be set with REDIS_MODE=standalone, which uses one server; use sentinel or cluster';
    problems.push({ variable: 'REDIS_NODES', other: 'REDIS_MODE', problem });
  }
  if (mode === 'sentinel' && url !== undefined) {
    const problem =
      'must not be set with REDIS_MODE=sentinel, where the sentinels name the server; ' +
      'use REDIS_NODES, REDIS_DB, REDIS_USERNAME, REDIS_PASSWORD and REDIS_TLS';
    problems.push({ variable: 'REDIS_URL', other: 'REDIS_MODE', problem });
  }
  if (mode === 'cluster' && url !== undefined && nodes !== undefined) {
    const problem = 'must not be set together with REDIS_NODES: both name nodes of the cluster';
    problems.push({ variable: 'REDIS_URL', other: 'REDIS_NODES', problem });
  }
  return problems;
}

function databaseProblems(values: Values, isSet: IsSet): Finding[] {
  if (values.REDIS_MODE !== 'cluster') return [];
  const inUrl = values.REDIS_URL?.database;
  if (inUrl === undefined ? !isSet('REDIS_DB') || values.REDIS_DB === 0 : inUrl === 0) return [];
  const variable = inUrl === undefined ? 'REDIS_DB' : 'REDIS_URL';
  const what = inUrl === undefined ? 'must be 0' : 'must name database 0 or none';
  const problem = `${what} with REDIS_MODE=cluster: a cluster has one database`;
  return [{ variable, other: 'REDIS_MODE', problem }];
}

function credentialProblems(values: Values): Finding[] {
  const pairs: [boolean, Variable, Variable][] = [
    [values.REDIS_URL?.credentials === undefined, 'REDIS_USERNAME', 'REDIS_PASSWORD'],
    [values.REDIS_MODE === 'sentinel', 'REDIS_SENTINEL_USERNAME', 'REDIS_SENTINEL_PASSWORD'],
  ];
  return pairs
    .filter(([counts, user, password]) => counts && isGiven(values[user]) && !isGiven(values[password]))
    .map(([, variable, other]) => ({ variable, other, problem: `needs ${other}` }));
}

function tlsProblems(values: Values): Finding[] {
  const problems: Finding[] = [];
  if (values.REDIS_TLS && values.REDIS_URL?.isTls === false) {
    const problem =
      'must be false with a REDIS_URL that starts with redis://; a URL for TLS starts with rediss://';
    problems.push({ variable: 'REDIS_TLS', other: 'REDIS_URL', problem });
  }
  const { REDIS_TLS_CERT_PATH: cert, REDIS_TLS_KEY_PATH: key } = values;
  if (usesTls(values) && isGiven(cert) !== isGiven(key)) {
    const [variable, other] = isGiven(cert)
      ? (['REDIS_TLS_CERT_PATH', 'REDIS_TLS_KEY_PATH'] as const)
      : (['REDIS_TLS_KEY_PATH', 'REDIS_TLS_CERT_PATH'] as const);
    problems.push({ variable, other, problem: `needs ${other}` });
  }
  return problems;
}

function isGiven(value: unknown): boolean {
  return value !== undefined;
}

/** Warnings about variables that are set but overridden by another variable. */
export function redisWarnings(values: Values, isSet: IsSet): string[] {
  if (values.MESSAGE_QUEUE_TYPE !== 'redis') return [];
  const { REDIS_URL: url, REDIS_NODES: nodes } = values;
  const source = url === undefined ? 'REDIS_NODES' : 'REDIS_URL';
  const isAddressElsewhere = url !== undefined || nodes !== undefined;
  const outdone: [Variable, boolean][] = [
    ['REDIS_HOST', isAddressElsewhere && values.REDIS_HOST !== url?.host],
    ['REDIS_PORT', isAddressElsewhere && values.REDIS_PORT !== url?.port],
    ['REDIS_DB', url?.database !== undefined && values.REDIS_DB !== url.database],
    ['REDIS_USERNAME', url?.credentials !== undefined && values.REDIS_USERNAME !== url.credentials.username],
    ['REDIS_PASSWORD', url?.credentials !== undefined && values.REDIS_PASSWORD !== url.credentials.password],
    ['REDIS_TLS', url?.isTls === true && !values.REDIS_TLS],
  ];
  return outdone
    .filter(([variable, isOutdone]) => isOutdone && isSet(variable))
    .map(([variable]) => `${variable} is set but has no effect: ${source} overrides it`);
}
