/**
 * Checks at the start, for the operator. What keeps the engine from working is an error that names the variable;
 * what will hurt later is a warning.
 */
import { ReplyError } from '../server/redis-errors.ts';
import { infoField } from '../server/server-facts.ts';
import type { Shard } from '../server/shard.ts';
import type { RedisSettings } from './redis-settings.ts';

/** What the deployment wants of its servers. */
export interface StartExpectations {
  /** Publishes wait for replicas by default. */
  readonly isReplicatedByDefault: boolean;
  readonly isProduction: boolean;
}

const MIN_VERSION = [6, 2] as const;
const CONNECTIONS_PER_SERVER = 3;
const SKEW_WARNING_MS = 1000;

/** Throws an Error for the operator, or returns warnings. */
export function checkServers(
  shards: readonly Shard[],
  settings: RedisSettings,
  expectations: StartExpectations,
): string[] {
  const needed = shards.length * CONNECTIONS_PER_SERVER;
  if (needed > settings.maxConnections) {
    throw new Error(
      `${shards.length} Redis servers need ${needed} connections (${CONNECTIONS_PER_SERVER} each); REDIS_MAX_CONNECTIONS allows ${settings.maxConnections}`,
    );
  }
  return shards.flatMap((shard) => checkServer(shard, settings, expectations));
}

function checkServer(
  shard: Shard,
  { mode, ackReplicas }: RedisSettings,
  { isProduction, isReplicatedByDefault }: StartExpectations,
): string[] {
  const { facts, label } = shard;
  if (facts === undefined) return [];
  const field = (name: string): string => infoField(facts.info, name);
  const [major = 0, minor = 0] = facts.version.split('.').map(Number);
  if (major < MIN_VERSION[0] || (major === MIN_VERSION[0] && minor < MIN_VERSION[1])) {
    throw new Error(
      `Redis ${label} has version ${facts.version}; at least ${MIN_VERSION.join('.')} is needed`,
    );
  }
  if (facts.isCluster && mode !== 'cluster') {
    throw new Error(`Redis ${label} is part of a cluster; set REDIS_MODE=cluster (it is ${mode})`);
  }
  const warnings: string[] = [];
  const policy = field('maxmemory_policy');
  if (policy.startsWith('allkeys') || (policy.startsWith('volatile') && policy !== 'noeviction')) {
    warnings.push(
      `Redis ${label} has maxmemory-policy ${policy}, which may evict the history of channels; their streams then get a gap. ` +
        'Use noeviction, as in config/redis.conf: publishers get 503 when memory is full, and nothing is lost.',
    );
  }
  if (isProduction && field('aof_enabled') === '0') {
    warnings.push(
      `Redis ${label} has no append-only file: what it has acknowledged since its last snapshot is lost when it crashes. ` +
        'Set appendonly yes, as in config/redis.conf.',
    );
  }
  const replicas = Number(field('connected_slaves'));
  if (isReplicatedByDefault && replicas < ackReplicas) {
    warnings.push(
      `Redis ${label} has ${replicas} replicas and ACK_LEVEL=replicated waits for ${ackReplicas} (ACK_REPLICAS): ` +
        'publishes will be answered with 503.',
    );
  }
  const { offsetMs } = shard.clock;
  if (Math.abs(offsetMs) > SKEW_WARNING_MS) {
    warnings.push(
      `the clock of Redis ${label} is ${Math.round(Math.abs(offsetMs))} ms ` +
        `${offsetMs > 0 ? 'ahead of' : 'behind'} this machine's: history expires, and ?since= counts, by the clock of Redis. Use NTP on both.`,
    );
  }
  return warnings;
}

/** Explains why the first connection failed, and names the variable to look at. */
export function startError(error: unknown, { mode, database }: RedisSettings): Error {
  const { message } = error as Error;
  const explain = (text: string): Error => new Error(`${text} (${message})`, { cause: error });
  if (/WRONGPASS|NOAUTH|NOPERM|without any password|invalid password/i.test(message)) {
    return explain(
      'Redis refuses the credentials: check REDIS_PASSWORD and REDIS_USERNAME, or those in REDIS_URL',
    );
  }
  if (/DB index|SELECT is not allowed/i.test(message)) {
    return explain(`Redis has no database ${database}: check REDIS_DB (a cluster has only 0)`);
  }
  if (/cluster support disabled/i.test(message)) {
    return explain('the server is not a cluster: check REDIS_MODE, which is set to cluster');
  }
  if (/unknown command.*SENTINEL/i.test(message)) {
    return explain(
      'the server is not a sentinel: check REDIS_NODES, which must name sentinels with REDIS_MODE=sentinel',
    );
  }
  if (/knows no master/.test(message)) return explain('check REDIS_SENTINEL_MASTER');
  if (/not a master/.test(message)) {
    return explain('the server is a replica: check REDIS_HOST, or use REDIS_MODE=sentinel');
  }
  if (/certificate|SSL|TLS|EPROTO|self.signed/i.test(message)) {
    return explain(
      'cannot connect to Redis over TLS: check REDIS_TLS, REDIS_TLS_CA_PATH and the certificate',
    );
  }
  return explain(
    mode === 'standalone'
      ? 'Redis does not answer: check REDIS_HOST and REDIS_PORT, or REDIS_URL'
      : 'Redis does not answer: check REDIS_NODES',
  );
}

/** Tells whether trying again may help: nobody answers yet, or the server still loads its data. */
export function mayPass(error: unknown): boolean {
  if (error instanceof ReplyError) return error.code === 'LOADING' || error.code === 'CLUSTERDOWN';
  return !/not a master|knows no master|cluster support|unknown command|WRONGPASS|NOAUTH|DB index|certificate|EPROTO/i.test(
    (error as Error).message,
  );
}
