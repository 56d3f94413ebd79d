/** The entry point of a process: arguments, configuration, signals and the exit status. */
import cluster from 'node:cluster';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { checkConfig } from './config/check-config.ts';
import type { Config } from './config/config.ts';
import { ConfigError } from './config/config-error.ts';
import { type ConfigInput, type LoadedConfig, loadConfig } from './config/load-config.ts';
import { createRegistrar } from './gateway/create-registrar.ts';
import type { GatewayRegistrar } from './gateway/gateway-registrar.ts';
import type { Log } from './observe/log/log.ts';
import { createMetrics } from './observe/metrics/metrics.ts';
import { placeConfig } from './workers/place-config.ts';
import { linkToPrimary } from './workers/primary-link.ts';
import { runPrimaryProcess } from './workers/primary-process.ts';
import { processPlace } from './workers/process-place.ts';
import { exitWhenWritten, onStopSignals, openServiceProcess } from './workers/service-process.ts';

const USAGE = `Usage: npm start [-- OPTION]

  --check-config   print the effective configuration, or what is wrong with it, and exit
  --version        print the version and exit
  --help           print this and exit
`;

const place = processPlace(process.env, cluster.isWorker);
/** A stop that takes longer than this after the drain window is aborted. */
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
  const loaded = loadConfig(input);
  if (place.kind === 'alone' && loaded.config.service.workers > 1) {
    await runPrimaryProcess({
      config: loaded.config,
      warnings: loaded.warnings,
      program: fileURLToPath(import.meta.url),
      stopGraceMs: 2 * STOP_GRACE_MS,
      registrarOf: (port, log) => registrarOf(loaded.config, port, log),
    });
  } else await serveHere(loaded);
}

/** Runs this process as a node, which serves streams and publishers itself. */
async function serveHere(loaded: LoadedConfig): Promise<void> {
  const config = placeConfig(loaded.config, place);
  const metrics = createMetrics({ version: config.service.version });
  const { log, end, fail, endInOrder } = openServiceProcess({ config, place, counters: metrics.log });
  // The primary process has already logged them for its workers.
  if (place.kind !== 'worker') for (const warning of loaded.warnings) log.warn(warning);
  if (place.kind === 'instance' && config.service.workers > 1) {
    log.warn('WORKER_THREADS has no effect in PM2 cluster mode: each instance is one process');
  }

  // Loaded here and not at the top: `--check-config`, which scripts ask often, and a primary process do without it.
  const { startApp } = await import('./app/start-app.ts');
  const app = await startApp({
    config,
    place,
    log,
    metrics,
    onFatal: (message) => void fail(undefined, message),
  }).catch((error: unknown) => fail(error, error instanceof Error ? error.message : String(error)));

  // The primary process registers its workers, and the first of PM2's instances all of them.
  const isRegistering = place.kind === 'alone' || (place.kind === 'instance' && place.index === 0);
  const registrar = isRegistering ? registrarOf(config, app.port, log) : undefined;

  let isStopping = false;
  const stop = (cause: string): void => {
    if (isStopping) return;
    isStopping = true;
    registrar?.stop();
    log.info({ cause }, 'stopping: streams are told to reconnect; a second signal ends the process at once');
    const overdue = setTimeout(() => {
      log.error('stopping took too long; the process ends');
      void end(1);
    }, config.service.drainMs + STOP_GRACE_MS);
    app
      .stop()
      .then(() => {
        clearTimeout(overdue);
        log.info('stopped');
        return endInOrder(0);
      })
      .catch((error: unknown) => fail(error, 'stopping failed'));
  };
  onStopSignals(stop, end);

  const url = `${schemeOf(config)}://localhost:${app.port}`;
  log.info(
    { port: app.port, metricsPort: app.metricsPort, pid: process.pid, node: process.version },
    `ready: API documentation ${url}/docs, health ${url}/sse/health, a stream ${url}/sse/user/123`,
  );
  registrar?.start();
  if (place.kind === 'worker') {
    linkToPrimary({
      onStop: () => stop('the primary process'),
      metricsText: app.metricsText,
      onScrapeFailed: (error) => log.error({ err: error }, 'metrics could not be served'),
    });
  } else {
    // PM2 and others wait for it.
    process.send?.('ready');
  }
}

function schemeOf({ http }: Config): 'http' | 'https' {
  return http.tls === undefined ? 'http' : 'https';
}

function registrarOf(config: Config, port: number, log: Log): GatewayRegistrar | undefined {
  const { gateway, service } = config;
  return createRegistrar({ gateway, service, scheme: schemeOf(config), port, log });
}

run().catch((error: unknown) => {
  const isForOperators =
    error instanceof ConfigError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS');
  process.stderr.write(`${isForOperators ? (error as Error).message : (error as Error).stack}\n`);
  void exitWhenWritten(1, place.kind === 'instance' ? process.stderr : undefined);
});
