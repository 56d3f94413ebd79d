/**
 * A program for tests: the real primary process, with workers that only answer with their index. Variables control what
 * the workers do, so that tests can start the program as a process.
 */
import cluster from 'node:cluster';
import { createServer, Server } from 'node:net';
import { fileURLToPath } from 'node:url';
import { listen } from './listen.ts';
import { linkToPrimary } from './primary-link.ts';
import { runPrimaryProcess } from './primary-process.ts';
import { processPlace } from './process-place.ts';
import { onStopSignals } from './service-process.ts';

export interface StandInOptions {
  readonly workers: number;
  /** Whether workers serve or fail at their start. */
  readonly start: 'serve' | 'fail';
  /** Time that workers take to stop. */
  readonly stopMs: number;
  readonly logFile?: string;
  /** Simulates a system that cannot share a port between sockets. */
  readonly isPortReusable: boolean;
}

const HOST = '127.0.0.1';
const BACKLOG = 1234;
/** Longer than an atomic write to a pipe, so that lines of two processes would mix if they could. */
const LINE_CHARS = 70_000;

function withoutReusePort(): void {
  const listenAsItIs = Reflect.get(Server.prototype, 'listen') as Server['listen'];
  Server.prototype.listen = function refusing(this: Server, ...args: unknown[]): Server {
    const [options] = args as [{ reusePort?: boolean }];
    if (options.reusePort !== true) return Reflect.apply(listenAsItIs, this, args) as Server;
    queueMicrotask(() => this.emit('error', Object.assign(new Error('ENOTSUP'), { code: 'ENOTSUP' })));
    return this;
  } as typeof listenAsItIs;
}

async function work({ start, stopMs }: StandInOptions): Promise<void> {
  const place = processPlace(process.env, true);
  const index = place.kind === 'alone' ? 0 : place.index;
  console.log(`worker ${index} starts ${'x'.repeat(LINE_CHARS)}`);
  if (start === 'fail') process.exit(3);
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.end(String(index));
  });
  const port = Number(process.env['SERVICE_PORT']);
  await listen(server, { host: HOST, port, backlog: BACKLOG }, place);
  const stop = (): void => {
    console.log(`worker ${index} stops`);
    setTimeout(() => process.exit(0), stopMs);
  };
  onStopSignals(stop, (status) => process.exit(status));
  linkToPrimary({
    onStop: stop,
    metricsText: async () =>
      `# HELP asked Asked.\n# TYPE asked counter\nasked{pid="${process.pid}"} ${index}\n`,
    onScrapeFailed: (error) => console.error(error),
  });
}

async function runPrimary({ workers, logFile, stopMs }: StandInOptions): Promise<void> {
  await runPrimaryProcess({
    config: {
      service: {
        name: 'stand-in',
        version: '1.2.3',
        environment: 'production',
        host: HOST,
        port: 0,
        workers,
        listenBacklog: BACKLOG,
        drainMs: stopMs,
        servesDocs: false,
      },
      metrics: { isEnabled: true, host: HOST, port: 0 },
      log: {
        level: 'INFO',
        format: 'json',
        file: logFile,
        isRotated: true,
        maxBytes: 1_000_000,
        backups: 1,
      },
    },
    warnings: ['something has no effect'],
    program: fileURLToPath(import.meta.url),
    stopGraceMs: 5000,
    registrarOf: () => undefined,
  });
}

const options = JSON.parse(process.env['STAND_IN'] ?? '') as StandInOptions;
if (!options.isPortReusable) withoutReusePort();
await (cluster.isWorker ? work(options) : runPrimary(options));
