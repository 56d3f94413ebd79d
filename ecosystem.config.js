// PM2: pm2 start ecosystem.config.js --env production
//
// On the embedded engine one process owns the store: one process, in fork mode. On Redis, cluster mode: as many
// processes as WORKER_THREADS says, each a node of its own, and `pm2 reload` starts each successor before it drains
// its predecessor. Both are read where the service reads them: the environment, then config/ENVIRONMENT.env.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { parseEnv } from 'node:util';

const root = import.meta.dirname;
const log = 'logs/message-push-service.log';

const { argv } = process;
const chosen = argv.includes('--env') ? argv[argv.indexOf('--env') + 1] : process.env.ENVIRONMENT;
const file = process.env.CONFIG_FILE || join(root, `config/${chosen ?? 'development'}.env`);
const fromFile = existsSync(file) ? parseEnv(readFileSync(file, 'utf8')) : {};
const setting = (name, fallback) => process.env[name] || fromFile[name] || fallback;

const isCluster = setting('MESSAGE_QUEUE_TYPE', 'embedded') === 'redis';
// A cluster runs on the Node.js of PM2's daemon. In fork mode it may be the one that development installs.
const ownNode = join(root, 'node_modules/.bin/node');
const interpreter = !isCluster && existsSync(ownNode) ? ownNode : 'node';
// The service ends by itself within DRAIN_TIMEOUT and 10 s. Before that PM2 must not kill it.
const killTimeoutMs = (Number(setting('DRAIN_TIMEOUT', 20)) + 12) * 1000;

/** What PM2 adds to the environment; it wins over the file. */
const envOf = (environment) => ({
  ENVIRONMENT: environment,
  // PM2 writes the log, one for all processes; deploy/logrotate has what rotates it.
  LOG_FILE: 'none',
  LOG_FORMAT: 'json',
  // In cluster mode these are PM2's instances.
  WORKER_THREADS: '1',
});

export const apps = [
  {
    name: 'message-push-service',
    cwd: root,
    script: join(root, 'packages/server/dist/main.js'),
    interpreter,
    exec_mode: isCluster ? 'cluster' : 'fork',
    instances: isCluster ? Number(setting('WORKER_THREADS', 1)) : 1,
    wait_ready: true,
    listen_timeout: 30_000,
    kill_timeout: killTimeoutMs,
    exp_backoff_restart_delay: 200,
    out_file: log,
    error_file: log,
    merge_logs: true,
    env: envOf('development'),
    env_production: envOf('production'),
  },
];
