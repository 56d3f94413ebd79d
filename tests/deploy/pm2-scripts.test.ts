/** The service under PM2 by the operators' scripts and the ecosystem file: one process, or a cluster on Redis. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { scratchMachineProblem } from '../support/deploy/scratch-machine.ts';
import { ScratchService } from '../support/deploy/scratch-service.ts';

interface Pm2Entry {
  readonly pid: number;
  readonly pm2_env: {
    readonly pm_exec_path: string;
    readonly status: string;
    readonly exec_mode: string;
    readonly kill_timeout: number;
  };
}

describe.skipIf(scratchMachineProblem() !== undefined)('under PM2', () => {
  let service: ScratchService;
  beforeAll(() => {
    service = new ScratchService();
  });
  beforeEach(() => service.boot());
  afterEach(() => service.shutDown());
  afterAll(() => service.dispose());

  const configure = (...lines: readonly string[]): void =>
    writeFileSync(
      join(service.root, 'config/production.env'),
      ['ALLOWED_ORIGINS=https://app.example.com', 'ALLOW_ANONYMOUS=true', ...lines, ''].join('\n'),
    );

  async function entries(): Promise<Pm2Entry[]> {
    const output = await service.succeed('pm2 jlist');
    return JSON.parse(output.slice(output.indexOf('['))) as Pm2Entry[];
  }

  it('one process serves the embedded engine, is found again, stopped, and started anew', async () => {
    configure('DRAIN_TIMEOUT=7');
    expect(await service.succeed('scripts/start.sh --pm2')).toContain('Ready at http://127.0.0.1:8089');
    const [first, ...others] = await entries();
    expect(others).toEqual([]);
    // Longer than the drain window plus the longest time that the service takes after it.
    expect(first?.pm2_env).toMatchObject({ status: 'online', exec_mode: 'fork_mode', kill_timeout: 19_000 });
    const report = await service.status();
    expect(report).toMatchObject({ status: 'healthy', runner: 'pm2', environment: 'production' });
    expect(report.processes.map((p) => p.pid)).toEqual([first?.pid]);
    expect(await service.succeed('tail -n 5 logs/message-push-service.log')).toContain('"message":"ready: ');

    const again = await service.run('scripts/start.sh --pm2');
    expect([again.status, again.output]).toEqual([
      1,
      expect.stringContaining('The service is already running (pm2, pid '),
    ]);

    expect(await service.succeed('scripts/stop.sh')).toContain('Stopping (pm2, pid');
    expect((await entries()).map((e) => e.pm2_env.status)).toEqual(['stopped']);
    const log = readFileSync(join(service.root, 'logs/message-push-service.log'), 'utf8');
    expect(log).toContain('"message":"stopped"');
    await service.succeed('scripts/start.sh --pm2');
    expect(await service.succeed('scripts/stop.sh --force --clean')).toContain('Stopped.');
    expect(await entries()).toEqual([]);
  });

  it('a cluster serves Redis, and each process is replaced by a reload', async () => {
    configure('MESSAGE_QUEUE_TYPE=redis', 'WORKER_THREADS=2', 'DRAIN_TIMEOUT=2');
    await service.succeed('cd .. && redis-server --daemonize yes --save ""');
    await service.succeed('scripts/start.sh --pm2');
    const before = await entries();
    expect(before.map((e) => [e.pm2_env.status, e.pm2_env.exec_mode])).toEqual([
      ['online', 'cluster_mode'],
      ['online', 'cluster_mode'],
    ]);
    const report = await service.status();
    expect(report).toMatchObject({ runner: 'pm2', engine: { type: 'redis' }, streams: { open: 0 } });
    expect(report.redis).toMatchObject({ address: 'localhost:6379/5', status: 'healthy' });
    await service.succeed('pm2 reload ecosystem.config.js --env production');
    const after = (await entries()).map((e) => e.pid);
    expect(after.length).toBe(2);
    expect(after.filter((pid) => before.some((e) => e.pid === pid))).toEqual([]);
    expect(await service.succeed('scripts/status.sh --health')).toBe('healthy\n');
    expect(await service.succeed('scripts/stop.sh')).toMatch(/Stopping \(pm2, pid \d+ \d+\) …\nStopped\./);
  });

  it('a process of the same name that is not of this installation is left alone', async () => {
    const other =
      "echo 'setInterval(() => undefined, 1000)' >../other.js; pm2 start ../other.js --name message-push-service";
    await service.succeed(other);
    expect((await service.status()).runner).toBeNull();
    expect(await service.succeed('scripts/stop.sh --force --clean --yes')).toContain(
      'The service is not running.',
    );
    expect((await entries()).map((e) => e.pm2_env.status)).toEqual(['online']);
  });
});
