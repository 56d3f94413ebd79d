// Starts the version that was just built beside the running one: on free ports, with its own store, and with its own key
// prefix in Redis. So a version that cannot start is found before anything is replaced. Exits with 0 when the new
// version became ready and stopped cleanly, otherwise with 1 and its output.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';

const TIMEOUT_MS = 60_000;
const folder = mkdtempSync(join(tmpdir(), 'message-push-try-'));

// The trial must not register at the gateway, and an empty variable would not override the file.
const file = process.env.CONFIG_FILE || `config/${process.env.ENVIRONMENT}.env`;
const settings = existsSync(file) ? readFileSync(file, 'utf8') : '';
writeFileSync(join(folder, 'try.env'), settings.replace(/^GATEWAY_SERVICE_URL=.*$/gm, ''));
const { GATEWAY_SERVICE_URL: _, ...env } = process.env;

const child = spawn(process.execPath, ['packages/server/dist/main.js'], {
  env: {
    ...env,
    CONFIG_FILE: join(folder, 'try.env'),
    SERVICE_HOST: '127.0.0.1',
    SERVICE_PORT: '0',
    METRICS_PORT: '0',
    WORKER_THREADS: '1',
    DATA_DIR: join(folder, 'data'),
    REDIS_KEY_PREFIX: `mps-try-${process.pid}:`,
    LOG_FILE: 'none',
    DRAIN_TIMEOUT: '0',
  },
  stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
});
let output = '';
for (const stream of [child.stdout, child.stderr]) stream.on('data', (part) => (output += part));
let isReady = false;
child.on('message', (message) => {
  if (message !== 'ready') return;
  isReady = true;
  child.kill('SIGTERM');
});
const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS);
child.on('close', (code) => {
  clearTimeout(timer);
  rmSync(folder, { recursive: true });
  if (isReady && code === 0) return;
  process.stderr.write(output);
  process.exitCode = 1;
});
