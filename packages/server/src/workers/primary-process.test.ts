/** Starts the primary process with stand-ins for workers. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { StandInOptions } from './stand-in-service-fixture.ts';

const PROGRAM = fileURLToPath(new URL('./stand-in-service-fixture.ts', import.meta.url));
const WAIT = { timeout: 15_000, interval: 20 };
const TEST_TIMEOUT_MS = 40_000;

let service: StandIn | undefined;
afterEach(() => {
  service?.kill('SIGKILL');
  service = undefined;
});

interface LogLine {
  readonly message?: string;
  readonly port?: number;
  readonly metricsPort?: number;
  readonly sharing?: string;
  readonly worker?: number;
}

class StandIn {
  output = '';
  readonly #child: ChildProcess;

  constructor(options: Partial<StandInOptions>) {
    const full: StandInOptions = { workers: 2, start: 'serve', stopMs: 0, isPortReusable: true, ...options };
    this.#child = spawn(process.execPath, ['--conditions=source', PROGRAM], {
      env: { PATH: process.env['PATH'], STAND_IN: JSON.stringify(full) },
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    });
    this.#child.stdout?.setEncoding('utf8').on('data', (piece: string) => {
      this.output += piece;
    });
  }

  /** The complete lines so far, parsed if they are JSON, else as text. */
  lines(): (LogLine | string)[] {
    return this.output
      .split('\n')
      .slice(0, -1)
      .map((line) => (line.startsWith('{') ? (JSON.parse(line) as LogLine) : line));
  }

  line(start: string): Promise<LogLine> {
    return vi.waitFor(() => {
      const line = this.lines().find((l) => typeof l === 'object' && l.message?.startsWith(start));
      if (line === undefined) throw new Error(`no line '${start}' in: ${this.output.slice(-1000)}`);
      return line as LogLine;
    }, WAIT);
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async exited(): Promise<[number | null, string | null]> {
    await vi.waitFor(() => {
      if (this.#child.exitCode === null && this.#child.signalCode === null) throw new Error('it still runs');
    }, WAIT);
    return [this.#child.exitCode, this.#child.signalCode];
  }

  /** Resolves when the process has sent the message that supervisors such as PM2 wait for. */
  message(): Promise<unknown> {
    return new Promise((resolve) => this.#child.once('message', resolve));
  }
}

/** Resolves with the index of the worker that answers. */
function ask(port: number): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.setTimeout(5000, () => socket.destroy(new Error('no answer')));
  return text(socket);
}

async function askAll(port: number, until: ReadonlySet<string>): Promise<void> {
  const seen = new Set<string>();
  await vi.waitFor(async () => {
    seen.add(await ask(port));
    if (![...until].every((index) => seen.has(index)))
      throw new Error(`only ${[...seen].join(', ')} answered`);
  }, WAIT);
}

async function scrape(port: number): Promise<string> {
  return (await fetch(`http://127.0.0.1:${port}/metrics`, { signal: AbortSignal.timeout(5000) })).text();
}

async function workerPids(metricsPort: number): Promise<number[]> {
  return [...(await scrape(metricsPort)).matchAll(/^asked\{.*pid="(\d+)"/gm)].map((match) =>
    Number(match[1]),
  );
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

async function allGone(pids: readonly number[]): Promise<void> {
  await vi.waitFor(() => expect(pids.filter(isAlive)).toEqual([]), WAIT);
}

describe('a primary process', { timeout: TEST_TIMEOUT_MS }, () => {
  it.each([
    { isPortReusable: true, sharing: 'own_sockets' },
    { isPortReusable: false, sharing: 'primary_socket' },
  ])(
    'has workers that share a port by $sharing, and is ready when all are',
    async ({ isPortReusable, sharing }) => {
      service = new StandIn({ isPortReusable });
      const message = service.message();
      const ready = await service.line('ready');
      expect(await message).toBe('ready');
      expect(ready.sharing).toBe(sharing);
      const port = ready.port ?? 0;
      await askAll(port, new Set(['1', '2']));
      if (process.platform === 'linux') {
        const listening = execFileSync('ss', ['-Hltn', `sport = :${port}`], { encoding: 'utf8' });
        const backlogs = listening
          .trim()
          .split('\n')
          .map((line) => line.split(/\s+/)[2]);
        expect(backlogs).toEqual(isPortReusable ? ['1234', '1234'] : ['1234']);
      }
      service.kill('SIGTERM');
      expect(await service.exited()).toEqual([0, null]);
    },
  );

  it('writes the lines of its workers whole, to its output and to one file', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'primary-test-'));
    try {
      const logFile = path.join(folder, 'service.log');
      service = new StandIn({ workers: 3, logFile });
      await service.line('ready');
      service.kill('SIGTERM');
      expect(await service.exited()).toEqual([0, null]);
      const lines = service.lines();
      const starts = lines.filter((line) => typeof line === 'string' && line.includes('starts'));
      expect(new Set(starts)).toEqual(
        new Set([1, 2, 3].map((n) => `worker ${n} starts ${'x'.repeat(70_000)}`)),
      );
      expect(starts.length).toBe(3);
      expect(lines).toEqual(expect.arrayContaining(['worker 1 stops', 'worker 2 stops', 'worker 3 stops']));
      expect(lines).toContainEqual(expect.objectContaining({ message: 'something has no effect' }));
      expect(readFileSync(logFile, 'utf8')).toBe(service.output);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('shows the metrics of all workers in one scrape, and that one is missing', async () => {
    service = new StandIn({});
    const { metricsPort = 0 } = await service.line('ready');
    const metrics = await scrape(metricsPort);
    expect(metrics.match(/^# TYPE asked counter$/gm)?.length).toBe(1);
    expect(metrics).toMatch(/^asked\{worker="1",pid="\d+"\} 1\nasked\{worker="2",pid="\d+"\} 2$/m);
    expect(metrics).toContain('message_push_worker_up{worker="1"} 1\nmessage_push_worker_up{worker="2"} 1\n');
    expect(metrics).toMatch(/^process_cpu_seconds_total\{worker="0"\} /m);
    const [, second = 0] = await workerPids(metricsPort);
    process.kill(second, 'SIGSTOP');
    const without = await scrape(metricsPort);
    process.kill(second, 'SIGCONT');
    expect(without).toMatch(/^asked\{worker="1"/m);
    expect(without).not.toMatch(/^asked\{worker="2"/m);
    expect(await service.line('a worker did not answer')).toMatchObject({ worker: 2 });
  });

  it('replaces a worker that is killed', async () => {
    service = new StandIn({});
    const { port = 0, metricsPort = 0 } = await service.line('ready');
    const [first = 0, second = 0] = await workerPids(metricsPort);
    process.kill(first, 'SIGKILL');
    expect(await service.line('a worker was ended by SIGKILL')).toMatchObject({ worker: 1, level: 'ERROR' });
    const pids = await vi.waitFor(async () => {
      const now = await workerPids(metricsPort);
      if (now.length < 2) throw new Error('there is one worker');
      return now;
    }, WAIT);
    expect(pids).not.toContain(first);
    expect(pids).toContain(second);
    expect(await scrape(metricsPort)).toContain('message_push_worker_restarts_total{worker="1"} 1\n');
    await askAll(port, new Set(['1', '2']));
  });

  it('takes its workers with it when it is killed', async () => {
    service = new StandIn({ stopMs: 60_000 });
    const { metricsPort = 0 } = await service.line('ready');
    const pids = await workerPids(metricsPort);
    expect(pids.length).toBe(2);
    service.kill('SIGKILL');
    await allGone(pids);
  });

  it.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const)('ends its workers at once at the second %s', async (signal, status) => {
    service = new StandIn({ stopMs: 60_000 });
    const { metricsPort = 0 } = await service.line('ready');
    const pids = await workerPids(metricsPort);
    service.kill(signal);
    await service.line('stopping');
    expect(pids.filter(isAlive)).toEqual(pids);
    service.kill(signal);
    expect(await service.exited()).toEqual([status, null]);
    await allGone(pids);
  });

  it('drains once when each process gets the signal, as from a terminal', async () => {
    service = new StandIn({ stopMs: 300 });
    const { metricsPort = 0 } = await service.line('ready');
    for (const pid of await workerPids(metricsPort)) process.kill(pid, 'SIGINT');
    service.kill('SIGINT');
    expect(await service.exited()).toEqual([0, null]);
  });

  it('ends with 1 when no worker can be started', async () => {
    service = new StandIn({ start: 'fail' });
    expect(await service.exited()).toEqual([1, null]);
    expect(service.lines().at(-1)).toMatchObject({
      level: 'CRITICAL',
      message: 'no worker could be started; the lines above say why',
    });
    expect(service.output).toContain('a worker ended with status 3');
  });
});
