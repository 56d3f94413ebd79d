// PM2: pm2 start ecosystem.config.js --env production
//
// With the embedded engine, one process owns the store, so there is one process in fork mode. With Redis, PM2 runs
// WORKER_THREADS processes in cluster mode, each a node of its own, and `pm2 reload` starts each successor before it
// drains the predecessor. Settings are read where the service reads them: the environment, then config/ENVIRONMENT.env.
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
// In cluster mode, processes run on the Node.js of PM2's daemon. In fork mode they can use the one in node_modules.
const ownNode = join(root, 'node_modules/.bin/node');
const interpreter = !isCluster && existsSync(ownNode) ? ownNode : 'node';
// The service exits by itself within DRAIN_TIMEOUT plus 10 s. PM2 must not kill it before that.
const killTimeoutMs = (Number(setting('DRAIN_TIMEOUT', 20)) + 12) * 1000;

/** Variables that PM2 adds to the environment; they override the file. */
const envOf = (environment) => ({
  ENVIRONMENT: environment,
  // PM2 writes one log for all processes; deploy/logrotate rotates it.
  LOG_FILE: 'none',
  LOG_FORMAT: 'json',
  // In cluster mode, PM2's instances take the place of workers.
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
