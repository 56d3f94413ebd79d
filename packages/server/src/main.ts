/** The process: arguments, configuration, signals and the exit status. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startApp } from './app.ts';
import { checkConfig } from './config/check-config.ts';
import { ConfigError } from './config/config-error.ts';
import { type ConfigInput, loadConfig } from './config/load-config.ts';
import { openLog } from './observe/log.ts';
import { createMetrics } from './observe/metrics.ts';

const USAGE = `Usage: npm start [-- OPTION]

  --check-config   print the configuration as it counts, or what is wrong with it, and end
  --version        print the version and end
  --help           print this and end
`;

const SIGNAL_NUMBERS = { SIGINT: 2, SIGTERM: 15 } as const;
/** Longer than this after the drain window, something hangs. */
const STOP_GRACE_MS = 5000;

async function run(): Promise<void> {
  const rootDir = fileURLToPath(new URL('../../..', import.meta.url));
  const { version } = JSON.parse(readFileSync(`${rootDir}/package.json`, 'utf8')) as { version: string };
  const { values } = parseArgs({
    options: {
      'check-config': { type: 'boolean' },
      version: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  const input: ConfigInput = { env: process.env, rootDir, packageVersion: version };
  if (values.help) process.stdout.write(USAGE);
  else if (values.version) process.stdout.write(`${version}\n`);
  else if (values['check-config']) {
    const { isValid, text } = checkConfig(input);
    (isValid ? process.stdout : process.stderr).write(text);
    process.exitCode = isValid ? 0 : 1;
  } else await serve(input);
}

async function serve(input: ConfigInput): Promise<void> {
  const { config, warnings } = loadConfig(input);
  const metrics = createMetrics({ version: config.service.version });
  const { log, flushSync, close } = openLog({
    ...config.log,
    service: config.service.name,
    environment: config.service.environment,
    counters: metrics.log,
  });
  const endNow = (status: number): never => {
    flushSync();
    process.exit(status);
  };
  const onFault = (error: unknown, message: string): never => {
    log.fatal({ err: error }, message);
    return endNow(1);
  };
  process.on('uncaughtException', (error) =>
    onFault(error, 'an error that nothing expected; the process ends'),
  );
  for (const warning of warnings) log.warn(warning);

  const app = await startApp({
    config,
    log,
    metrics,
    onFatal: (message) => onFault(undefined, message),
  }).catch((error: unknown) => onFault(error, error instanceof Error ? error.message : String(error)));
  const url = `http://localhost:${app.port}`;
  log.info(
    { port: app.port, metricsPort: app.metricsPort, pid: process.pid, node: process.version },
    `ready: API documentation ${url}/docs, health ${url}/sse/health, a stream ${url}/sse/user/123`,
  );
  // PM2 and others that wait for it.
  process.send?.('ready');

  let isStopping = false;
  const stop = (signal: keyof typeof SIGNAL_NUMBERS): void => {
    if (isStopping) endNow(128 + SIGNAL_NUMBERS[signal]);
    isStopping = true;
    log.info({ signal }, 'stopping: streams are told to reconnect; a second signal ends at once');
    const overdue = setTimeout(() => {
      log.error('stopping took too long; the process ends');
      endNow(1);
    }, config.service.drainMs + STOP_GRACE_MS);
    app
      .stop()
      .then(async () => {
        clearTimeout(overdue);
        log.info('stopped');
        await close();
        process.exit(0);
      })
      .catch((error: unknown) => onFault(error, 'stopping failed'));
  };
  process.on('SIGTERM', () => stop('SIGTERM'));
  process.on('SIGINT', () => stop('SIGINT'));
}

run().catch((error: unknown) => {
  const isForOperators =
    error instanceof ConfigError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS');
  process.stderr.write(`${isForOperators ? (error as Error).message : (error as Error).stack}\n`);
  process.exit(1);
});
